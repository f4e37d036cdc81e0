//! One command to Redis, one answer: as much of its protocol (RESP2) as launching and looking need.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

use super::redis::Place;

const PATIENCE: Duration = Duration::from_secs(10);
/// Answers to tests' questions are small; what claims more is no Redis.
const MOST_BYTES: usize = 1 << 26;
const MOST_DEPTH: usize = 8;

/// The answer as text, or the error that Redis answered with.
pub(super) async fn ask(place: &Place, words: &[&str]) -> io::Result<Result<String, String>> {
    let exchange = async {
        match place {
            Place::Port(port) => talk(TcpStream::connect(("127.0.0.1", *port)).await?, words).await,
            Place::Socket(path) | Place::Tls(_, path) => talk(UnixStream::connect(path).await?, words).await,
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}

async fn talk(
    mut stream: impl AsyncReadExt + AsyncWrite + Unpin + Send,
    words: &[&str],
) -> io::Result<Result<String, String>> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(command.as_bytes()).await?;
    let mut input = BufReader::new(stream);
    let mut lines = Vec::new();
    Ok(match value(&mut input, &mut lines, 0).await? {
        Ok(()) => Ok(lines.join("\n")),
        Err(error) => Err(error),
    })
}

type Value<'a> = Pin<Box<dyn Future<Output = io::Result<Result<(), String>>> + Send + 'a>>;

/// Reads one value, its parts appended to `lines`.
fn value<'a>(
    input: &'a mut (impl AsyncBufRead + Unpin + Send),
    lines: &'a mut Vec<String>,
    depth: usize,
) -> Value<'a> {
    Box::pin(async move {
        let mut head = String::new();
        input.read_line(&mut head).await?;
        let head = head.trim_end();
        let Some((kind, rest)) = head.split_at_checked(1) else { return Err(garbage(head)) };
        let count = || rest.parse::<i64>().map_err(|_| garbage(head));
        match kind {
            "+" | ":" => lines.push(rest.to_owned()),
            "-" => return Ok(Err(rest.to_owned())),
            "$" => {
                let Ok(length) = usize::try_from(count()?) else { return Ok(Ok(())) };
                if length > MOST_BYTES {
                    return Err(garbage(head));
                }
                let mut text = vec![0; length + 2];
                input.read_exact(&mut text).await?;
                text.truncate(length);
                lines.push(String::from_utf8_lossy(&text).into_owned());
            }
            "*" if depth < MOST_DEPTH => {
                for _ in 0..count()?.max(0) {
                    if let Err(error) = value(input, lines, depth + 1).await? {
                        return Ok(Err(error));
                    }
                }
            }
            _ => return Err(garbage(head)),
        }
        Ok(Ok(()))
    })
}

fn garbage(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an answer of Redis: {line:?}"))
}
