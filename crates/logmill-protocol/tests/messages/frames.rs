//! Whole frames: length, header, message, in both directions, for every API and version.

use bytes::{Buf, Bytes};
use logmill_protocol::error::DecodeError;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::header::RequestHeader;
use logmill_protocol::wire::{
    Frame, Message, Reader, Request, Str, correlation_id, frame_length, read_request_header, read_response,
    request_frame, response_frame,
};

use crate::random::{Random, Sample};
use crate::sample::every_request;

/// What follows the length, which must be right.
fn body(frame: Frame) -> Bytes {
    let mut bytes = frame.to_bytes();
    let announced = frame_length([bytes[0], bytes[1], bytes[2], bytes[3]], usize::MAX).unwrap();
    bytes.advance(4);
    assert_eq!(bytes.len(), announced);
    bytes
}

#[test]
fn requests_and_responses_travel_in_frames() {
    fn check<R: Request + Sample>()
    where
        R::Response: Sample,
    {
        assert_eq!((R::MIN, R::MAX), R::KEY.versions());
        for version in R::MIN..=R::MAX {
            assert_eq!(R::KEY.is_flexible(version), R::is_flexible(version));
            for seed in 0..8 {
                let mut random = Random::new(seed);
                let request = R::sample(&mut random, version);
                let client_id = random.nullable(true, Random::text);
                let correlation = random.i32();

                let frame = body(request_frame(&request, version, correlation, client_id.as_ref()).unwrap());
                let mut input = Reader::new(frame);
                let header = read_request_header(&mut input).unwrap();
                let expected = RequestHeader {
                    request_api_key: R::KEY as i16,
                    request_api_version: version,
                    correlation_id: correlation,
                    client_id,
                };
                assert_eq!(header, expected);
                assert_eq!(R::decode(&mut input, version), Ok(request), "{} version {version}", R::NAME);
                assert_eq!(input.remaining(), 0);

                let response = R::Response::sample(&mut random, version);
                let frame = body(response_frame::<R>(&response, version, correlation).unwrap());
                assert_eq!(correlation_id(&frame), Ok(correlation));
                let read = read_response::<R>(frame.clone(), version);
                assert_eq!(read, Ok((correlation, response)), "{} version {version}", R::Response::NAME);

                let long = [&frame[..], &[0]].concat();
                let refused = read_response::<R>(long.into(), version);
                assert_eq!(refused, Err(DecodeError::Trailing { message: R::Response::NAME, left: 1 }));
            }
        }
    }
    macro_rules! call {
        ($module:ident, $name:ident) => {
            check::<logmill_protocol::messages::$module::$name>()
        };
    }
    every_request!(call);
}

/// The header versions as the other implementation has them.
#[test]
fn headers_are_of_the_version_that_kafka_expects() {
    fn check<R: Request>() {
        let theirs = kafka_protocol::messages::ApiKey::try_from(R::KEY as i16).unwrap();
        for version in R::MIN..=R::MAX {
            let request =
                body(request_frame(&R::default(), version, 7, Some(&Str::from("logmill"))).unwrap());
            let tagged = theirs.request_header_version(version) == 2;
            // Key, version, correlation id, a length of two bytes and seven letters; then the tagged fields.
            assert_eq!(request.len() - body_length(&R::default(), version), 17 + usize::from(tagged));
            let response = body(response_frame::<R>(&R::Response::default(), version, 7).unwrap());
            let tagged = theirs.response_header_version(version) == 1;
            assert_eq!(
                response.len() - body_length(&R::Response::default(), version),
                4 + usize::from(tagged),
                "{} version {version}",
                R::Response::NAME
            );
        }
    }
    fn body_length<M: Message>(message: &M, version: i16) -> usize {
        crate::encode(message, version).unwrap().len()
    }
    macro_rules! call {
        ($module:ident, $name:ident) => {
            check::<logmill_protocol::messages::$module::$name>()
        };
    }
    every_request!(call);
}

#[test]
fn every_api_is_found_by_its_key() {
    for &key in ApiKey::ALL {
        assert_eq!(ApiKey::try_from(key as i16), Ok(key));
    }
    assert!(ApiKey::try_from(-1).is_err());
}
