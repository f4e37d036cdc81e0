//! `cargo xtask servers`: finds or installs the server software that the tests run against. Programs
//! come from Debian's packages, Kafka's jars by Maven from the poms in `xtask/kafka/`, into
//! `target/servers/`, Go's modules into its own cache; what is already there is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::run::{find_program, output, root, run, step, target};

/// Kafka's newest release, whose message definitions are also the ones we generate from.
pub(crate) const NEWEST: &str = "4.4.0";
/// The last release of the 3.x line: the oldest we run in full.
pub(crate) const OLDEST: &str = "3.9.2";

/// The newest release whose command line tools are published.
pub(crate) const TOOLS: &str = "4.3.1";

/// A program that the tests start, and the Debian package that holds it.
const PROGRAMS: [(&str, &str); 7] = [
    ("redis-server", "redis-server"),
    ("kcat", "kcat"),
    ("java", "default-jdk-headless"),
    ("jar", "default-jdk-headless"),
    ("mvn", "maven"),
    ("go", "golang-go"),
    ("python3", "python3"),
];

/// A Redis by another name, and its package; some distributions have it.
const VALKEY: &str = "valkey-server";

/// Finds or installs everything.
///
/// # Errors
/// Something is missing and cannot be installed; the error names the packages.
pub(crate) fn run_all() -> Outcome {
    step("servers: programs", programs)?;
    for version in [NEWEST, OLDEST, TOOLS] {
        step(&format!("servers: Apache Kafka {version}"), || kafka(version).map(drop))?;
    }
    step("servers: franz-go's modules", || {
        let module = root().join("crates/logmill-testkit/tests/franz-go");
        run(Command::new("go").current_dir(module).args(["mod", "download"]))
    })?;
    Ok(())
}

/// The command line's entrance.
///
/// # Errors
/// As [`run_all`].
pub(crate) fn run_chore(_words: &[String]) -> Outcome {
    run_all()?;
    println!("export LOGMILL_KAFKA_HOME={}", kafka_home().display());
    println!("export LOGMILL_REDIS_SERVER={}", redis_server()?.display());
    Ok(())
}

/// The folder that holds `<version>/libs/*.jar` for each version.
pub(crate) fn kafka_home() -> PathBuf {
    target().join("servers").join("kafka")
}

/// The redis-server on this machine.
///
/// # Errors
/// There is none.
pub(crate) fn redis_server() -> Outcome<PathBuf> {
    find_program("redis-server").ok_or_else(|| {
        "redis-server is not on PATH: run `cargo xtask servers`, or install Debian's redis-server".into()
    })
}

/// The valkey-server on this machine, if its distribution has one.
pub(crate) fn valkey_server() -> Option<PathBuf> {
    find_program(VALKEY)
}

/// The `kafka-clients` jar of [`NEWEST`], fetched if it is not there yet.
///
/// # Errors
/// It cannot be fetched.
pub(crate) fn kafka_clients_jar() -> Outcome<PathBuf> {
    needs(&["java", "jar", "mvn"])?;
    Ok(kafka(NEWEST)?.join(format!("kafka-clients-{NEWEST}.jar")))
}

/// The message definitions out of [`kafka_clients_jar`]: the folder holding `common/message/*.json`.
///
/// # Errors
/// The jar cannot be fetched or unpacked.
pub(crate) fn kafka_definitions() -> Outcome<PathBuf> {
    let jar = kafka_clients_jar()?;
    let folder = kafka_home().join(NEWEST).join("definitions");
    if !folder.join("complete").exists() {
        fs::create_dir_all(&folder)?;
        run(Command::new("jar").current_dir(&folder).arg("xf").arg(&jar).arg("common/message"))?;
        fs::write(folder.join("complete"), "")?;
    }
    Ok(folder)
}

/// The jars of one Kafka version, fetched by Maven once.
fn kafka(version: &str) -> Outcome<PathBuf> {
    let libs = kafka_home().join(version).join("libs");
    let complete = libs.join("complete");
    let pom = root().join("xtask").join("kafka").join(version).join("pom.xml");
    let wanted = fs::read_to_string(&pom)?;
    if fs::read_to_string(&complete).is_ok_and(|fetched| fetched == wanted) {
        eprintln!("    {} is complete", shown_path(&libs));
        return Ok(libs);
    }
    eprintln!("    fetching the jars named in {} into {}", shown_path(&pom), shown_path(&libs));
    if libs.exists() {
        fs::remove_dir_all(&libs)?;
    }
    fs::create_dir_all(&libs)?;
    let done = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--no-transfer-progress", "-f"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", libs.display()))
        .arg("-DincludeScope=runtime")
        .output()?;
    if !done.status.success() {
        // Maven writes its errors to stdout.
        eprint!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        return Err(format!("Maven could not fetch the jars of {}", shown_path(&pom)).into());
    }
    fs::write(&complete, wanted)?;
    Ok(libs)
}

fn shown_path(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Finds the programs, and installs the packages of those that are missing.
fn programs() -> Outcome {
    let mut packages = Vec::new();
    for (program, package) in PROGRAMS {
        match find_program(program) {
            Some(path) => eprintln!("    {program}: {}", path.display()),
            None => {
                eprintln!("    {program}: missing, is in Debian's package {package}");
                if !packages.contains(&package) {
                    packages.push(package);
                }
            }
        }
    }
    match valkey_server() {
        Some(path) => eprintln!("    {VALKEY}: {}", path.display()),
        None if is_offered(VALKEY) => packages.push(VALKEY),
        None => eprintln!("    {VALKEY}: is not in this distribution; its tests are left out"),
    }
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let apt = find_program("apt-get").ok_or_else(|| {
        format!("there is no apt-get here: install what Debian calls {list}, then run this again")
    })?;
    let user = String::from_utf8(output(Command::new("id").arg("-u"))?)?;
    if user.trim() != "0" {
        return Err(format!("not root: run `apt-get install {list}` as root, then run this again").into());
    }
    eprintln!("    installing {list}");
    // A failed update is no reason to stop: the lists that are there may do.
    let _ = run(Command::new(&apt).args(["update", "-qq"]));
    run(Command::new(&apt)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&packages))?;
    needs(&PROGRAMS.map(|(program, _)| program))
}

/// Whether the distribution has this package.
fn is_offered(package: &str) -> bool {
    let known = output(Command::new("apt-cache").args(["policy", package])).unwrap_or_default();
    let known = String::from_utf8_lossy(&known);
    known.contains("Candidate:") && !known.contains("Candidate: (none)")
}

/// # Errors
/// One of the programs is not on PATH.
fn needs(programs: &[&str]) -> Outcome {
    match programs.iter().find(|program| find_program(program).is_none()) {
        None => Ok(()),
        Some(missing) => Err(format!("{missing} is not on PATH: run `cargo xtask servers`").into()),
    }
}
