//! Results: one JSON object per case, and a table in Markdown.

use std::fs;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::scenario::{Case, Pass, Scenario};
use crate::server::Kind;

/// What holds for a whole run.
#[derive(Debug)]
pub struct Context {
    /// The commit, as the caller says it.
    pub commit: String,
    /// How it was called.
    pub command: String,
    /// When it began.
    pub date: String,
    /// How many cores the machine has for us.
    pub cores: usize,
    /// Where the server runs, and the rest.
    pub pinned: (usize, usize),
}

impl Context {
    /// From the machine and from what `tests/load/run` passes.
    pub fn of_process(cores: usize, pinned: (usize, usize)) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_else(|_| String::from("unknown"));
        Self {
            commit: variable("LOAD_COMMIT"),
            command: variable("LOAD_COMMAND"),
            date: variable("LOAD_DATE"),
            cores,
            pinned,
        }
    }
}

/// A case and its passes by server.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// Passes in the order in which they ran.
    pub servers: Vec<(Kind, Vec<Pass>)>,
    /// Average load of the last minute, before.
    pub load: String,
}

impl Outcome {
    fn lowest(&self, kind: Kind) -> Option<&Pass> {
        let (_, passes) = self.servers.iter().find(|(k, _)| *k == kind)?;
        passes.iter().min_by(|a, b| a.figure.total_cmp(&b.figure))
    }

    /// The lowest figure of the gateway by the lowest of `limit`.
    fn ratio(&self) -> Option<f64> {
        let limit = self.lowest(Kind::Limit)?.figure;
        // What a connection takes there is little more than nothing.
        let comparable = self.case.scenario != Scenario::Idle && limit > 0.0;
        Some(self.lowest(Kind::Sockgate)?.figure / limit).filter(|_| comparable)
    }

    /// The object of this case.
    pub fn json(&self, context: &Context) -> Value {
        let Case {
            scenario,
            clients,
            bytes,
            operations,
        } = self.case;
        let servers: Map<String, Value> = self
            .servers
            .iter()
            .map(|(kind, passes)| {
                let lowest = self.lowest(*kind).map(|pass| round(pass.figure));
                let passes: Vec<Value> = passes.iter().map(pass).collect();
                (name(kind), json!({"lowest": lowest, "passes": passes}))
            })
            .collect();
        json!({
            "scenario": name(&scenario),
            "parameters": {"clients": clients, "bytes": bytes, "operations": operations},
            "unit": scenario.unit(),
            "servers": servers,
            "ratio_to_limit": self.ratio().map(round),
            "commit": context.commit,
            "command": context.command,
            "date": context.date,
            "machine": {
                "cpu": cpu_model(),
                "cores": context.cores,
                "kernel": kernel(),
                "server_core": context.pinned.0,
                "generator_core": context.pinned.1,
                "load_before": self.load,
            },
        })
    }

    /// The row of this case.
    fn row(&self) -> String {
        let Case {
            scenario,
            clients,
            bytes,
            ..
        } = self.case;
        let size = if bytes == 0 {
            String::new()
        } else {
            format!(" × {bytes} B")
        };
        let lowest = |kind| self.lowest(kind);
        let figure = |kind| lowest(kind).map_or("–".into(), |pass| digits(pass.figure));
        let ratio = self
            .ratio()
            .map_or("–".into(), |ratio| format!("{ratio:.2}"));
        let ours = lowest(Kind::Sockgate);
        let latency = ours.and_then(|pass| pass.latency);
        let latency = latency.map_or("–".into(), |(p50, p99)| {
            format!("{} / {}", digits(p50), digits(p99))
        });
        format!(
            "| {}, {}{size} | {} | {} | {} | {ratio} | {latency} |",
            name(&scenario),
            thousands(clients),
            scenario.unit(),
            figure(Kind::Sockgate),
            figure(Kind::Limit),
        )
    }
}

/// The table of a whole run.
pub fn table(outcomes: &[Outcome], context: &Context) -> String {
    let mut text = String::from(
        "| scenario, clients | figure | sockgate | limit | ratio | p50 / p99, ms |\n| --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for outcome in outcomes {
        text += &outcome.row();
        text += "\n";
    }
    let origin = format!(
        "\n`{}`, commit {}, {}; {} × {}, {}\n",
        context.command,
        context.commit,
        context.date,
        context.cores,
        cpu_model(),
        kernel()
    );
    text + &origin
}

fn pass(pass: &Pass) -> Value {
    let spent = pass.spent;
    let wall = spent.wall.as_secs_f64();
    let mut object = json!({
        "figure": round(pass.figure),
        "operations": pass.operations,
        "per_second": round(pass.operations as f64 / wall),
        "wall_s": round(wall),
        "server_cpu_s": round(spent.server.as_secs_f64()),
        "generator_cpu_s": round(spent.generator.as_secs_f64()),
        "others_cpu_s": round(spent.others.as_secs_f64()),
    });
    if let Some((p50, p99)) = pass.latency {
        object["p50_ms"] = round(p50).into();
        object["p99_ms"] = round(p99).into();
    }
    for (name, value) in &pass.more {
        object[name] = round(*value).into();
    }
    object
}

/// As it is typed.
pub fn name(value: &impl clap::ValueEnum) -> String {
    let value = value.to_possible_value().expect("no value is hidden");
    value.get_name().to_owned()
}

/// Four digits that count.
fn round(value: f64) -> f64 {
    let text = format!("{value:.3e}");
    text.parse().expect("it was a number")
}

/// Three digits that count, without an exponent.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn thousands(count: usize) -> String {
    match count {
        1000.. => format!("{},{:03}", count / 1000, count % 1000),
        _ => count.to_string(),
    }
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(": "));
    model.map_or("unknown", |(_, model)| model).to_owned()
}

fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", text.trim())
}

/// Average load of the last minute.
pub fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_or_four_digits() {
        assert_eq!(
            ["123", "12.3", "1.23", "0.01"],
            [123.4, 12.34, 1.234, 0.012].map(digits)
        );
        assert!((round(12345.6) - 12350.0).abs() < 1e-9);
        assert!((round(0.001_234_56) - 0.001_235).abs() < 1e-12);
        assert_eq!(
            ["999", "1,000", "19,000"],
            [999, 1000, 19_000].map(thousands)
        );
    }
}
