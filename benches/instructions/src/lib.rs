//! What programs have in common whose instructions `cargo xtask instructions` counts: rows, and messages to work on.

#![expect(clippy::print_stdout, reason = "the list of rows is the output")]

pub mod frames;

use std::process::ExitCode;

/// A name, and what makes that many turns. What is made ready before the first turn must not depend on their number.
pub type Row = (&'static str, fn(usize));

/// Runs the program: alone it lists the rows; with `ROW TURNS` it runs one of them.
pub fn run<'r>(rows: impl IntoIterator<Item = &'r Row>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wanted, turns] = arguments.as_slice() else {
        rows.into_iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    match (rows.into_iter().find(|(name, _)| name == wanted), turns.parse()) {
        (Some((_, run)), Ok(turns)) => {
            run(turns);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("error: no row {wanted:?}, or no number {turns:?}");
            ExitCode::FAILURE
        }
    }
}
