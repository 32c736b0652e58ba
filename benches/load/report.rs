//! Figures as Markdown tables with ratios, and as JSON.

use std::fs;
use std::io;

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::options::{Scenario, Target, name};
use crate::process;
use crate::servers::Spent;

/// What one case measured of one server. The first figure is the one that servers are compared by.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) target: Target,
    figures: Vec<(&'static str, Option<f64>)>,
}

impl Row {
    pub(crate) fn new(case: impl Into<String>, target: Target) -> Self {
        Self { case: case.into(), target, figures: Vec::new() }
    }

    /// `None` is for a figure that this server does not have.
    pub(crate) fn figure(mut self, name: &'static str, value: impl Into<Option<f64>>) -> Self {
        self.figures.push((name, value.into()));
        self
    }

    /// The figures of `spent` for `latency.count()` messages that have arrived.
    pub(crate) fn traffic(self, spent: Spent, latency: &Histogram) -> Self {
        let messages = latency.count() as f64;
        let micros = |seconds: f64| seconds * 1e6 / messages;
        self.figure("CPU us/message", micros(spent.in_all()))
            .figure("server us", spent.server.map(micros))
            .figure("broker us", spent.broker.map(micros))
            .figure("messages/s", messages / spent.seconds)
            .figure("p50 ms", latency.quantile_ms(0.5))
            .figure("p99 ms", latency.quantile_ms(0.99))
            .figure("p99.9 ms", latency.quantile_ms(0.999))
            .figure("max ms", latency.max_ms())
            .figure("load %CPU", spent.load * 100.0 / spent.seconds)
    }
}

/// The rows of one scenario.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) scenario: Scenario,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// By case, then by server, so that what is compared stands together.
    pub(crate) fn print(&self) {
        println!("\n### {}\n", name(self.scenario));
        let Some(first) = self.rows.first() else {
            println!("not measured");
            return;
        };
        let names = first.figures.iter().map(|(name, _)| *name);
        let mut columns: Vec<&str> = ["case", "server"].into_iter().chain(names).collect();
        columns.splice(3..3, ["x floor", "x web-stomp"]);
        let mut lines = vec![columns.into_iter().map(str::to_owned).collect()];
        let mut cases: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !cases.contains(&&*row.case) {
                cases.push(&row.case);
            }
        }
        for case in cases {
            lines.extend(self.rows.iter().filter(|row| row.case == case).map(|row| self.cells(row)));
        }
        print_aligned(&lines);
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let mut cells: Vec<String> = row.figures.iter().map(|(_, value)| readable(*value)).collect();
        let ratios = [Target::Floor, Target::WebStomp].map(|other| readable(self.ratio(row, other)));
        cells.splice(1..1, ratios);
        cells.splice(0..0, [row.case.clone(), name(row.target)]);
        cells
    }

    fn ratio(&self, row: &Row, other: Target) -> Option<f64> {
        let other = self.rows.iter().find(|it| it.case == row.case && it.target == other)?;
        let [value, base] = [row, other].map(|it| it.figures.first().and_then(|(_, value)| *value));
        base.filter(|base| *base > 0.0).and_then(|base| Some(value? / base))
    }
}

/// Writes everything that was measured, and on what machine.
pub(crate) fn write_json(path: &std::path::Path, tables: &[Table], faults: &[String]) -> io::Result<()> {
    let results: Vec<Value> = tables.iter().flat_map(|table| table.rows.iter().map(|row| result(table, row))).collect();
    let document = json!({
        "machine": {
            "cpus": std::thread::available_parallelism()?.get(),
            "kernel": fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
            "load_average": fs::read_to_string("/proc/loadavg")?.trim(),
            "memory_kib": process::kib_field("/proc/meminfo", "MemTotal:")?,
        },
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "results": results,
        "faults": faults,
    });
    fs::write(path, format!("{document:#}\n"))
}

fn result(table: &Table, row: &Row) -> Value {
    let figures: serde_json::Map<_, _> =
        row.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({ "scenario": name(table.scenario), "case": row.case, "server": name(row.target), "figures": figures })
}

fn readable(value: Option<f64>) -> String {
    let Some(value) = value.filter(|it| it.is_finite()) else { return "-".to_owned() };
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A Markdown table that also reads well as plain text.
fn print_aligned(lines: &[Vec<String>]) {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            0 | 1 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        println!("|{}", cells.collect::<String>());
        if number == 0 {
            let rules = widths.iter().enumerate().map(|(at, width)| match at {
                0 | 1 => format!("{}|", "-".repeat(width + 2)),
                _ => format!("{}:|", "-".repeat(width + 1)),
            });
            println!("|{}", rules.collect::<String>());
        }
    }
}
