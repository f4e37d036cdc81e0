//! A real redis-server for a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::LaunchError;
use super::folder::Folder;
use super::ports::free_port;
use super::process::Process;
use super::resp;
use super::software::{Software, program};

/// How often another port is tried when somebody took one first.
const TRIES: usize = 3;
/// A redis-server starts in milliseconds, and loads what tests write in no time.
const READY_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How to start [`Redis`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RedisOptions {
    /// Whether it keeps its data through a restart: an append-only file, written at every command. Default no:
    /// a restart finds it empty.
    pub aof: bool,
    /// Listen on a unix socket in its folder instead of on a port of 127.0.0.1.
    pub unix_socket: bool,
    /// Speak TLS on its port, and nothing else, with certificates that it finds in its folder. Default no.
    pub tls: bool,
    /// More words for redis-server's command line, such as `--maxmemory 10mb`.
    pub args: Vec<String>,
}

impl RedisOptions {
    /// Keeps data through a restart, or not.
    #[must_use]
    pub fn aof(mut self, aof: bool) -> Self {
        self.aof = aof;
        self
    }

    /// Listens on a unix socket.
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Speaks TLS on its port: see [`Redis::folder`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Adds words to the command line.
    #[must_use]
    pub fn args(mut self, words: impl IntoIterator<Item = impl ToString>) -> Self {
        self.args.extend(words.into_iter().map(|word| word.to_string()));
        self
    }
}

/// A redis-server. Dropping it kills the process and deletes its files.
#[derive(Debug)]
pub struct Redis {
    // Before the folder, so that the process is gone when its files are deleted.
    process: Process,
    place: Place,
    options: RedisOptions,
    folder: Folder,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Port(u16),
    Socket(PathBuf),
    /// TLS on a port for those under test, and a socket for the test.
    Tls(u16, PathBuf),
}

impl Redis {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// The program is missing, or it does not answer in time; its log is then kept.
    pub async fn start(options: RedisOptions) -> Result<Self, LaunchError> {
        let mut tries = 1;
        loop {
            let mut folder = Folder::new("redis")?;
            let socket = folder.path().join("redis.sock");
            let port = || {
                free_port()
                    .ok_or_else(|| LaunchError::io("find a free port")(std::io::ErrorKind::AddrInUse.into()))
            };
            let place = if options.unix_socket {
                Place::Socket(socket)
            } else if options.tls {
                super::certificates::write(folder.path())?;
                Place::Tls(port()?, socket)
            } else {
                Place::Port(port()?)
            };
            match launch(&options, &place, folder.path()).await {
                Ok(process) => return Ok(Self { process, place, options, folder }),
                Err(LaunchError::PortTaken { .. }) if tries < TRIES => tries += 1,
                Err(error) => {
                    folder.keep();
                    return Err(error);
                }
            }
        }
    }

    /// Where it listens, as a URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.place {
            Place::Port(port) => format!("redis://127.0.0.1:{port}/"),
            Place::Socket(path) => format!("unix://{}", path.display()),
            Place::Tls(port, _) => {
                format!("rediss://127.0.0.1:{port}/?ca={}", self.folder.path().join("ca.pem").display())
            }
        }
    }

    /// Where it listens, `host:port`; `None` if on a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        match &self.place {
            Place::Port(port) | Place::Tls(port, _) => Some(format!("127.0.0.1:{port}")),
            Place::Socket(_) => None,
        }
    }

    /// Its folder. With TLS: `ca.pem`, and `client.pem` and `client.key` for a server that asks for them
    /// (`--tls-auth-clients yes`).
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the server with SIGKILL; when this returns it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Stops the server with SIGTERM.
    ///
    /// # Errors
    /// It still runs after 10 s, and was killed.
    pub async fn stop(&mut self) -> Result<(), LaunchError> {
        self.process.stop(STOP_WITHIN).await
    }

    /// Starts the server again on its place and whatever data it kept, killing it first if it still runs, and
    /// waits until it answers.
    ///
    /// # Errors
    /// It does not answer in time; its log is kept.
    pub async fn restart(&mut self) -> Result<(), LaunchError> {
        self.process.kill9();
        match launch(&self.options, &self.place, self.folder.path()).await {
            Ok(process) => {
                self.process = process;
                Ok(())
            }
            Err(error) => {
                self.folder.keep();
                Err(error)
            }
        }
    }

    /// Stops the server's clock with SIGSTOP: connections stay open and nothing answers.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn pause(&mut self) -> Result<(), LaunchError> {
        self.process.signal("STOP")
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn resume(&mut self) -> Result<(), LaunchError> {
        self.process.signal("CONT")
    }

    /// Sends one command, such as `["CONFIG", "SET", "maxmemory", "1mb"]`, on a connection of its own, and
    /// gives the answer as text: the elements of an array on lines of their own, nil as nothing.
    ///
    /// # Errors
    /// It cannot be reached, or answers with an error.
    pub async fn cli(&self, words: &[&str]) -> Result<String, LaunchError> {
        let command = words.join(" ");
        resp::ask(&self.place, words)
            .await
            .map_err(LaunchError::io(format!("ask Redis for {command}")))?
            .map_err(|answer| LaunchError::Refused { name: "Redis".to_owned(), command, answer })
    }
}

async fn launch(options: &RedisOptions, place: &Place, folder: &Path) -> Result<Process, LaunchError> {
    let mut command = Command::new(program("redis-server", "LOGMILL_REDIS_SERVER", Software::Redis)?);
    command.current_dir(folder).args(["--daemonize", "no", "--save", "", "--dir"]).arg(folder);
    let keep: &[&str] = if options.aof { &["yes", "--appendfsync", "always"] } else { &["no"] };
    command.arg("--appendonly").args(keep);
    match place {
        Place::Port(port) => command.args(["--bind", "127.0.0.1", "--port"]).arg(port.to_string()),
        Place::Socket(path) => command.args(["--port", "0", "--unixsocket"]).arg(path),
        Place::Tls(port, path) => {
            command.args(["--port", "0", "--unixsocket"]).arg(path);
            command.args(["--bind", "127.0.0.1", "--tls-port"]).arg(port.to_string());
            let files = [
                ("--tls-ca-cert-file", "ca.pem"),
                ("--tls-cert-file", "server.pem"),
                ("--tls-key-file", "server.key"),
            ];
            for (option, file) in files {
                command.arg(option).arg(folder.join(file));
            }
            command.args(["--tls-auth-clients", "no"])
        }
    };
    command.args(&options.args);
    let mut process = Process::start("redis-server", &mut command, &folder.join("redis.log"))?;
    let answers = async |_: &str| matches!(resp::ask(place, &["PING"]).await, Ok(Ok(_)));
    process.until(READY_WITHIN, answers).await?;
    Ok(process)
}
