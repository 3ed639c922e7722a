//! Fixed loops over what requests pay for, one a row; `cargo xtask instructions` counts what a turn costs.
//!
//! `aeraki-instructions` alone lists the rows; `aeraki-instructions ROW TURNS` runs one of them.

#![expect(clippy::print_stdout, reason = "the list of rows is the output")]

mod codec;
mod frames;
mod route;
mod stack;

use std::process::ExitCode;

/// A name, and what makes that many turns. What is made ready before the first turn must not depend on their number.
type Row = (&'static str, fn(usize));

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = || codec::ROWS.iter().chain(route::ROWS).chain(stack::ROWS);
    let [wanted, turns] = arguments.as_slice() else {
        rows().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    match (rows().find(|(name, _)| name == wanted), turns.parse()) {
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
