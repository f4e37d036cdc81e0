//! A Redis with a replica, and sentinels that watch over them and fail over.

use std::process::Command;
use std::time::Duration;

use super::LaunchError;
use super::folder::Folder;
use super::ports::free_port;
use super::process::Process;
use super::redis::{Place, Redis, RedisOptions};
use super::resp;
use super::software::{Software, program};

/// The name under which they know the primary.
const NAME: &str = "logmill";
const SENTINELS: usize = 3;
/// How long they may take to know each other and the replica: they tell each other every two seconds.
const KNOWN_WITHIN: Duration = Duration::from_secs(40);

/// Two servers, one of them the primary, and three sentinels that want two votes. Dropping it kills all of them.
#[derive(Debug)]
pub struct Sentinels {
    /// The servers. The first is the primary at the start.
    pub servers: [Redis; 2],
    processes: Vec<Process>,
    ports: Vec<u16>,
    folder: Folder,
}

impl Sentinels {
    /// Starts all, the servers on ports, and waits until every sentinel knows the others and
    /// the replica, which has all that the primary has. A primary that does not answer for
    /// a second is failed over.
    ///
    /// # Errors
    /// As [`Redis::start`]; or the sentinels do not find each other in time.
    pub async fn start(options: RedisOptions) -> Result<Self, LaunchError> {
        // A replica that asks for everything gets it at once, not after five seconds.
        let options = options.args(["--repl-diskless-sync-delay", "0"]);
        let first = Redis::start(options.clone()).await?;
        let address = first.address().unwrap_or_default();
        let port = address.rsplit(':').next().unwrap_or_default();
        let second = Redis::start(options.args(["--replicaof", "127.0.0.1", port])).await?;
        let folder = Folder::new("sentinels")?;
        let mut all = Self { servers: [first, second], processes: vec![], ports: vec![], folder };
        for number in 0..SENTINELS {
            let own = free_port()
                .ok_or_else(|| LaunchError::io("find a free port")(std::io::ErrorKind::AddrInUse.into()))?;
            let file = all.folder.path().join(format!("{number}.conf"));
            let text = format!(
                "port {own}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 3000\n",
                all.folder.path().display()
            );
            std::fs::write(&file, text).map_err(LaunchError::io(format!("write {}", file.display())))?;
            let mut command = Command::new(program("redis-server", "LOGMILL_REDIS_SERVER", Software::Redis)?);
            command.arg(&file).arg("--sentinel");
            let log = all.folder.path().join(format!("{number}.log"));
            all.processes.push(Process::start("sentinel", &mut command, &log)?);
            all.ports.push(own);
        }
        for (process, port) in all.processes.iter_mut().zip(&all.ports) {
            let known = process.until(KNOWN_WITHIN, async |_: &str| knows_all(*port).await).await;
            known.inspect_err(|_| all.folder.keep())?;
        }
        Ok(all)
    }

    /// Their URL, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", hosts.join(","))
    }

    /// Kills a sentinel with SIGKILL.
    ///
    /// # Panics
    /// There is none at `index`: there are three.
    pub fn kill9(&mut self, index: usize) {
        self.processes[index].kill9();
    }

    /// Tells the last sentinel to make the other server the primary, though nothing is wrong with this one.
    ///
    /// # Errors
    /// It refuses.
    pub async fn fail_over(&self) -> Result<(), LaunchError> {
        let port = self.ports[SENTINELS - 1];
        let words = ["SENTINEL", "FAILOVER", NAME];
        let answer =
            resp::ask(&Place::Port(port), &words).await.map_err(LaunchError::io("ask a sentinel"))?;
        answer.map(drop).map_err(|answer| LaunchError::Refused {
            name: "the sentinel".to_owned(),
            command: words.join(" "),
            answer,
        })
    }
}

async fn knows_all(port: u16) -> bool {
    let told = async |what: &str, name: &str, value: &str| {
        let Ok(Ok(said)) = resp::ask(&Place::Port(port), &["SENTINEL", what, NAME]).await else {
            return false;
        };
        said.lines().collect::<Vec<_>>().windows(2).any(|pair| pair == [name, value])
    };
    told("MASTER", "num-other-sentinels", "2").await
        && told("MASTER", "flags", "master").await
        && told("REPLICAS", "master-link-status", "ok").await
}
