//! One direction of one connection.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::frames::Frames;
use super::{Flow, Orders, Tally, Toward};

/// Bytes read at once, and how many such reads wait in the proxy: together 1 MiB.
const READ: usize = 16 * 1024;
const WAITING: usize = 64;

/// Carries bytes until the source ends, a half-close is asked for, or something fails.
pub(super) async fn pipe(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    toward: Toward,
    orders: watch::Receiver<Orders>,
    tally: &Tally,
    seed: u64,
) -> io::Result<()> {
    let half_closes = orders.borrow().half_closes[toward.index()];
    let mut asked = orders.clone();
    let (queue, waiting) = mpsc::channel(WAITING);
    let reading = read(from, orders.clone(), toward, Random(seed), queue);
    let mut writer = Writer {
        toward,
        orders,
        tally,
        frames: Frames::default(),
        set: u64::MAX,
        left: 0,
        in_lost_frame: false,
        lost: false,
    };
    let carrying = async { tokio::try_join!(reading, writer.write_all(&mut to, waiting)).map(drop) };
    tokio::select! {
        biased;
        Ok(_) = asked.wait_for(|orders| orders.half_closes[toward.index()] > half_closes) => {}
        carried = carrying => carried?,
    }
    to.shutdown().await
}

/// Reads what comes and stamps it with the time it is due on the other side.
async fn read(
    mut from: ReadHalf<'_>,
    orders: watch::Receiver<Orders>,
    toward: Toward,
    mut random: Random,
    queue: mpsc::Sender<(Instant, Bytes)>,
) -> io::Result<()> {
    let mut last = Instant::now();
    loop {
        let mut buffer = BytesMut::with_capacity(READ);
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let late = match orders.borrow().flows[toward.index()] {
            Flow::Delay { by, jitter } => by + random.part_of(jitter),
            _ => Duration::ZERO,
        };
        // Nothing overtakes what came before it.
        last = last.max(Instant::now() + late);
        if queue.send((last, buffer.freeze())).await.is_err() {
            return Ok(());
        }
    }
}

struct Writer<'a> {
    toward: Toward,
    orders: watch::Receiver<Orders>,
    tally: &'a Tally,
    frames: Frames,
    /// Which setting of the flow `left` belongs to.
    set: u64,
    /// Bytes that still pass, or frames that are still swallowed.
    left: u64,
    /// A frame is being swallowed, and goes to its end whatever is set meanwhile.
    in_lost_frame: bool,
    /// The stream has a hole: nothing may follow.
    lost: bool,
}

impl Writer<'_> {
    async fn write_all(
        &mut self,
        to: &mut WriteHalf<'_>,
        mut waiting: mpsc::Receiver<(Instant, Bytes)>,
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                biased;
                changed = self.orders.changed(), if self.lost => {
                    changed.map_err(|_| reset())?;
                    self.flow().await?;
                }
                next = waiting.recv() => match next {
                    None => break,
                    Some((due, bytes)) => {
                        sleep_until(due).await;
                        self.deliver(to, bytes).await?;
                    }
                },
            }
        }
        // The end of the stream goes the way its bytes go.
        while matches!(self.flow().await?, Flow::Swallow { .. }) && self.left == 0 {
            self.lost = true;
            self.orders.changed().await.map_err(|_| reset())?;
        }
        Ok(())
    }

    /// The flow that rules now; waits as long as it says to wait.
    async fn flow(&mut self) -> io::Result<Flow> {
        loop {
            let (flow, set, black_hole) = {
                let orders = self.orders.borrow_and_update();
                let index = self.toward.index();
                (orders.flows[index].clone(), orders.flows_set[index], orders.black_hole)
            };
            if self.lost && !matches!(flow, Flow::Swallow { .. }) {
                return Err(reset());
            }
            if set != self.set {
                self.set = set;
                self.left = match flow {
                    Flow::Swallow { after } if !self.lost => after,
                    Flow::SwallowFrames { count } => count,
                    _ => 0,
                };
            }
            if !black_hole && flow != Flow::Stall {
                return Ok(flow);
            }
            self.orders.changed().await.map_err(|_| reset())?;
        }
    }

    /// Writes or swallows the bytes, piece by piece, as the flow says at that time.
    async fn deliver(&mut self, to: &mut WriteHalf<'_>, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let flow = self.flow().await?;
            let begins = self.frames.between();
            let to_frame_end = self.frames.clone().step(&bytes);
            if self.in_lost_frame || (matches!(flow, Flow::SwallowFrames { .. }) && begins && self.left > 0) {
                self.follow(&bytes.split_to(to_frame_end));
                self.in_lost_frame = !self.frames.between();
                if !self.in_lost_frame {
                    self.left = self.left.saturating_sub(1);
                }
                self.count_swallowed(to_frame_end);
                continue;
            }
            let passing = match flow {
                Flow::Swallow { .. } => usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len()),
                Flow::SwallowFrames { .. } => to_frame_end,
                Flow::Pass | Flow::Delay { .. } | Flow::Stall => bytes.len(),
            };
            if passing == 0 {
                self.lost = true;
                self.count_swallowed(bytes.len());
                return Ok(());
            }
            let piece = bytes.split_to(passing);
            self.follow(&piece);
            to.write_all(&piece).await?;
            self.tally.carried[self.toward.index()].fetch_add(passing as u64, Ordering::Relaxed);
            if matches!(flow, Flow::Swallow { .. }) {
                self.left -= passing as u64;
            }
        }
        Ok(())
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.frames.step(bytes)..];
        }
    }

    fn count_swallowed(&self, bytes: usize) {
        self.tally.swallowed[self.toward.index()].fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// A stream of numbers that a seed decides (SplitMix64).
struct Random(u64);

impl Random {
    /// A part of `most`.
    fn part_of(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        most.mul_f64(f64::from((mixed >> 32) as u32) / f64::from(u32::MAX))
    }
}
