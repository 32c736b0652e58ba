//! The command line: arguments, configuration, log, runtime, exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stompgate::app::{self, Ended};
use stompgate::config::{self, InForce, Sources};
use stompgate::lifecycle::Drained;
use stompgate::{admin, http, telemetry};

/// A gateway for STOMP clients over WebSocket, in front of RabbitMQ or on its own embedded broker.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration, as TOML. STOMPGATE__SECTION__KEY in the environment goes before it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, Subcommand)]
enum Command {
    /// Runs the gateway; this is what happens without a command.
    #[default]
    Serve,
    /// Says what is wrong with the configuration, if anything is.
    CheckConfig,
    /// Prints the configuration in force as TOML, without its secrets.
    PrintConfig,
    /// Asks the gateway of this configuration whether it is ready: 0 if it is.
    Healthcheck,
}

/// EX_USAGE of sysexits.h.
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before the configuration, whose files for TLS are checked with it.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().expect("nothing has used TLS yet");
    let sources = Sources::of_process(arguments.config);
    let loaded = match config::load(sources.clone()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain(&faults);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let outcome = match arguments.command.unwrap_or_default() {
        Command::Serve => serve(InForce::new(sources, loaded)),
        Command::CheckConfig => print("the configuration has no fault\n"),
        Command::PrintConfig => print(&loaded.to_toml()),
        Command::Healthcheck => healthcheck(&loaded.settings.admin),
    };
    outcome.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Unlike `eprintln!`, this does not panic when stderr is full or closed.
fn complain(error: &dyn Display) {
    drop(writeln!(io::stderr(), "stompgate: {error}"));
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn serve(in_force: InForce) -> Outcome {
    let log = telemetry::start_log(&in_force.settings().log)?;
    raise_open_files(&in_force.settings().http);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(app::run(in_force, &log))?;
    // What did not end by now is not waited for.
    runtime.shutdown_background();
    Ok(match ended {
        Ended::Drained(Drained::All) => ExitCode::SUCCESS,
        Ended::Drained(Drained::Left(_)) | Ended::Failed => ExitCode::FAILURE,
        Ended::Killed(signal) => ExitCode::from(signal.exit_code()),
    })
}

/// Each client takes a file descriptor, and the soft limit that a shell gives is often 1,024.
fn raise_open_files(settings: &http::Settings) {
    let needed = settings.connections_max.saturating_add(settings.own_files);
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if usize::try_from(limit).is_ok_and(|it| it < needed) => {
            tracing::warn!(
                limit,
                needed,
                "http.connections_max, with what the broker and operators need, is more than the limit of open files \
                 (ulimit -n) allows"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "can't raise the limit of open files (ulimit -n)"),
    }
}

/// Unlike `print!`, this does not panic when whoever reads has seen enough.
fn print(text: &str) -> Outcome {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn healthcheck(settings: &admin::Settings) -> Outcome {
    let listen = settings.listen.ok_or("admin.listen is off, so there is nobody to ask")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(admin::check_ready(listen))?;
    Ok(ExitCode::SUCCESS)
}
