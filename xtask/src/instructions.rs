//! What a turn of each row of `benches/instructions` and `benches/stack` costs, in user instructions, beside what is
//! committed.
//!
//! Each row runs under callgrind with few and with many turns, so that what it does to start cancels out. A busy
//! machine changes nothing; another compiler does, so that only counts of the one that was committed are judged. Hash
//! tables are seeded anew in every process, and some seeds make longer ways: a row that costs too much is counted
//! again, and its cheapest run counts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::peers::install::{cargo, debian, peers_dir, workspace};

/// Counts every row, prints the table, and fails where a row costs more than is committed; `--bless` commits instead.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let bless = match arguments {
        [] => false,
        [only] if only == "--bless" => true,
        _ => bail!("instructions takes --bless or nothing, not {arguments:?}"),
    };
    debian("valgrind", "valgrind")?;
    let (mut counts, mut programs) = (BTreeMap::new(), Programs::new());
    for package in PACKAGES {
        // each by itself: what one needs must not change how the other is built
        let program = cargo(package, "release")?;
        for row in output(&mut Command::new(&program))?.lines() {
            counts.insert(row.to_owned(), turn(&program, row)?);
            programs.insert(row.to_owned(), program.clone());
        }
    }
    let mut found =
        Counts { compiler: output(Command::new("rustc").arg("--version"))?.trim().to_owned(), rows: counts };
    if bless {
        found.lower(&programs, |_| true)?;
        print(&found, &found);
        return found.write();
    }
    let expected = Counts::read()?;
    let worse: Vec<_> = found.worse_than(&expected).into_iter().map(str::to_owned).collect();
    found.lower(&programs, |row| worse.iter().any(|worse| worse == row))?;
    print(&found, &expected);
    if found.compiler != expected.compiler {
        println!("not judged: counted with {}, committed for {}", found.compiler, expected.compiler);
        return Ok(());
    }
    let worse = found.worse_than(&expected);
    ensure!(worse.is_empty(), "more than {TOLERANCE} % above {FILE}: {}; --bless accepts it", worse.join(", "));
    Ok(())
}

/// Which program has a row.
type Programs = BTreeMap<String, PathBuf>;

/// Instructions of each row, and the compiler that they hold for.
struct Counts {
    compiler: String,
    rows: BTreeMap<String, u64>,
}

impl Counts {
    fn read() -> Result<Self> {
        let text = fs::read_to_string(workspace().join(FILE)).with_context(|| format!("{FILE}: run with --bless"))?;
        let value: Value = serde_json::from_str(&text).context(FILE)?;
        let compiler = value["compiler"].as_str().context("expected.json names no compiler")?.to_owned();
        Ok(Self { compiler, rows: serde_json::from_value(value["rows"].clone()).context(FILE)? })
    }

    fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&json!({ "compiler": self.compiler, "rows": self.rows }))?;
        Ok(fs::write(workspace().join(FILE), text + "\n")?)
    }

    /// Counts rows again and keeps the cheapest run of each.
    fn lower(&mut self, programs: &Programs, again: impl Fn(&str) -> bool) -> Result<()> {
        for (row, count) in self.rows.iter_mut().filter(|(row, _)| again(row)) {
            let program = programs.get(row).with_context(|| format!("no program has {row:?}"))?;
            for _ in 0..AGAIN {
                *count = turn(program, row)?.min(*count);
            }
        }
        Ok(())
    }

    /// Lists the rows that cost too much, or of which nothing is committed.
    fn worse_than(&self, expected: &Self) -> Vec<&str> {
        let worse = |row: &str, count: u64| {
            expected.rows.get(row).is_none_or(|expected| count * 100 > (expected + ROUNDING) * (100 + TOLERANCE))
        };
        self.rows.iter().filter(|(row, count)| worse(row, **count)).map(|(row, _)| row.as_str()).collect()
    }
}

/// Returns what one turn of a row costs.
fn turn(program: &Path, row: &str) -> Result<u64> {
    let (few, many) = (whole(program, row, FEW)?, whole(program, row, MANY)?);
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// Returns what a whole run costs.
fn whole(program: &Path, row: &str, turns: u64) -> Result<u64> {
    let file = peers_dir().join("run/callgrind.out");
    fs::create_dir_all(file.parent().unwrap_or(&file))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", file.display()));
    output(command.arg(program).args([row, &turns.to_string()]))?;
    let counted = fs::read_to_string(&file)?;
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind wrote no totals")?;
    Ok(total.trim().parse()?)
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

fn print(found: &Counts, expected: &Counts) {
    println!("| row | instructions a turn | committed |\n| --- | --- | --- |");
    for (row, count) in &found.rows {
        let committed = expected.rows.get(row).map_or_else(|| "none".to_owned(), u64::to_string);
        println!("| {row} | {count} | {committed} |");
    }
}

const PACKAGES: [&str; 2] = ["aeraki-instructions", "aeraki-stack-instructions"];
const FILE: &str = "benches/instructions/expected.json";
/// Percent.
const TOLERANCE: u64 = 3;
/// A row of a few dozen instructions moves by as much between two layouts of the same code.
const ROUNDING: u64 = 3;
/// Further runs of a row.
const AGAIN: u32 = 5;
const FEW: u64 = 100;
const MANY: u64 = 1100;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> Counts {
        let rows = rows.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect();
        Counts { compiler: String::new(), rows }
    }

    #[test]
    fn three_percent_more_is_too_much_and_so_is_what_nobody_committed() {
        let expected = counts(&[("a", 100), ("b", 100), ("gone", 1)]);
        let found = counts(&[("a", 106), ("b", 107), ("new", 1)]);
        assert_eq!(found.worse_than(&expected), ["b", "new"]);
    }
}
