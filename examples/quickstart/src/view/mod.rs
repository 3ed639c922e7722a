//! How the run is shown: a live table on a terminal, lines elsewhere.

mod live;
mod plain;

use std::{io::IsTerminal, path::Path};

use anyhow::Result;

use crate::monitor::Row;

/// Shows the reports of a run.
pub(crate) enum View {
    Live(live::Live),
    Plain,
}

impl View {
    /// Chooses the live table if standard output is a terminal and `plain` was not asked for.
    pub(crate) fn new(plain: bool, mesh: &Path) -> Result<Self> {
        let plain = plain || !std::io::stdout().is_terminal();
        if plain { Ok(Self::Plain) } else { Ok(Self::Live(live::Live::start(mesh)?)) }
    }

    /// Shows a report.
    pub(crate) fn report(&mut self, rows: Vec<Row>) -> Result<()> {
        match self {
            Self::Live(live) => live.report(rows),
            Self::Plain => Ok(plain::rows(&rows)?),
        }
    }

    /// Shows a message.
    pub(crate) fn announce(&mut self, message: String) -> Result<()> {
        match self {
            Self::Live(live) => live.announce(message),
            Self::Plain => Ok(plain::line(&message)?),
        }
    }

    /// Tells whether the person at the terminal asked to stop.
    pub(crate) fn stopped(&self) -> Result<bool> {
        match self {
            Self::Live(_) => live::stopped(),
            Self::Plain => Ok(false),
        }
    }

    /// Gives the terminal back and prints the summary.
    pub(crate) fn finish(self, rows: &[Row]) -> Result<()> {
        drop(self);
        plain::line("summary of the whole run:")?;
        Ok(plain::rows(rows)?)
    }
}
