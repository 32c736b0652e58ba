//! A RabbitMQ of the bench's own, with its Web STOMP plugin: nothing of it is shared with another node of the machine,
//! and nothing is left when it ends.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Process;

const START_PATIENCE: Duration = Duration::from_secs(120);

/// Where Debian and RPM packages keep the scripts. Those on the PATH are wrappers that want to be root or `rabbitmq`.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// By default the plugin closes a WebSocket on which the client sends nothing for a minute.
const IDLE_MILLIS_MAX: u32 = 3_600_000;

#[derive(Debug)]
pub(crate) struct RabbitMq {
    // Fields are dropped in order: the broker goes before the port mapper that it is registered with.
    broker: Process,
    _port_mapper: Process,
    directory: Directory,
    amqp: SocketAddr,
    web_stomp: SocketAddr,
    epmd_port: u16,
}

impl RabbitMq {
    /// The reason why there cannot be one here, if there is any.
    pub(crate) fn missing() -> Option<String> {
        let server = Path::new(SCRIPTS).join("rabbitmq-server");
        (!server.exists()).then(|| format!("{} is not installed", server.display()))
    }

    /// Uses four ports, the first of which is `port`.
    pub(crate) fn start(port: u16) -> io::Result<Self> {
        let directory = Directory::create()?;
        let epmd_port = port + 3;
        let listen = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (amqp, web_stomp) = (listen(port), listen(port + 1));
        let config = format!(
            "listeners.tcp.1 = {amqp}\nstomp.listeners.tcp = none\n\
             web_stomp.tcp.ip = {}\nweb_stomp.tcp.port = {}\nweb_stomp.ws_opts.idle_timeout = {IDLE_MILLIS_MAX}\nlog.console = false\nlog.file.level = warning\n",
            web_stomp.ip(),
            web_stomp.port(),
        );
        fs::write(directory.0.join("rabbitmq.conf"), config)?;
        fs::write(directory.0.join("enabled_plugins"), "[rabbitmq_web_stomp].\n")?;

        let mut epmd = Command::new("epmd");
        epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        let port_mapper = Process::spawn("epmd", epmd.stdout(Stdio::null()).stderr(Stdio::null()))?;

        let log = fs::File::create(directory.0.join("stdout"))?;
        let mut server = directory.script("rabbitmq-server", epmd_port);
        server
            .env("RABBITMQ_DIST_PORT", (port + 2).to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            // Makes the script become the Erlang machine, instead of starting it: its pid is the child's.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut broker = Process::spawn("rabbitmq-server", &mut server)?;
        let accepts = |address| TcpStream::connect(address).is_ok();
        broker
            .wait_until(START_PATIENCE, || accepts(amqp) && accepts(web_stomp))
            .map_err(|fault| io::Error::other(format!("{fault}\n{}", directory.log())))?;
        Ok(Self { broker, _port_mapper: port_mapper, directory, amqp, web_stomp, epmd_port })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.broker.pid()
    }

    pub(crate) fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@{}", self.amqp)
    }

    pub(crate) fn web_stomp(&self) -> SocketAddr {
        self.web_stomp
    }

    /// How many lines of a list have something in that column.
    pub(crate) fn count(&self, list: &str, column: &str) -> io::Result<usize> {
        let lines = self.ask(&["--no-table-headers", list, column])?;
        Ok(lines.lines().filter(|line| !line.is_empty()).count())
    }

    /// What `rabbitmqctl status` calls `total.erlang`.
    pub(crate) fn erlang_kib(&self) -> io::Result<f64> {
        let bytes = self.ask(&["eval", "erlang:memory(total)."])?;
        let bytes: Result<f64, _> = bytes.trim().parse();
        bytes.map(|it| it / 1024.0).map_err(|_| io::Error::other("rabbitmqctl eval: not a number"))
    }

    /// Takes a second or two of CPU time: not while measuring.
    fn ask(&self, arguments: &[&str]) -> io::Result<String> {
        let mut command = self.directory.script("rabbitmqctl", self.epmd_port);
        let output = command.arg("-q").args(arguments).output()?;
        if !output.status.success() {
            let fault = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("rabbitmqctl {}: {fault}", arguments.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// All files of the node; removed with it.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn create() -> io::Result<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-rabbitmq-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A script of RabbitMQ that sees this node only.
    fn script(&self, name: &str, epmd_port: u16) -> Command {
        let mut command = Command::new(Path::new(SCRIPTS).join(name));
        let path = |name: &str| self.0.join(name);
        command
            .env("HOME", &self.0)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", epmd_port.to_string())
            .env("RABBITMQ_NODENAME", "stompgate-bench@localhost")
            .env("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path("generated"))
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_PID_FILE", path("pid"));
        command
    }

    fn log(&self) -> String {
        // Only printed beside the fault that it may explain.
        fs::read_to_string(self.0.join("stdout")).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(fault) = fs::remove_dir_all(&self.0) {
            eprintln!("{} cannot be removed: {fault}", self.0.display());
        }
    }
}
