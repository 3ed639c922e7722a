//! Fixed loops over what every request pays for, one a row; `cargo xtask instructions` counts what a turn costs.

mod codec;
mod route;

use std::process::ExitCode;

fn main() -> ExitCode {
    aeraki_instructions::run(codec::ROWS.iter().chain(route::ROWS))
}
