//! A live table on the terminal.

use std::time::Duration;

use anyhow::Result;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Style, Stylize},
    widgets::{Block, Cell, Paragraph, Row as TableRow, Table, Wrap},
};

use crate::monitor::{Row, Share};

/// Owns the terminal until it is dropped.
pub(crate) struct Live {
    terminal: DefaultTerminal,
}

impl Live {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    pub(crate) fn draw(&mut self, rows: &[Row], message: &str) -> Result<()> {
        self.terminal.draw(|frame| {
            let [table, status] = Layout::vertical([Constraint::Min(4), Constraint::Length(5)]).areas(frame.area());
            frame.render_widget(table_of(rows), table);
            frame.render_widget(status_of(message), status);
        })?;
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Tells whether `q`, Escape or Ctrl-C was pressed.
pub(crate) fn stopped() -> Result<bool> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn table_of(rows: &[Row]) -> Table<'_> {
    let lines = rows.iter().map(|row| {
        let errors = Cell::from(row.errors.to_string());
        TableRow::new([
            Cell::from(row.name.as_str()).bold(),
            Cell::from(format!("{:.0}/s", row.rate)),
            Cell::from(row.shares.iter().map(share_of).collect::<Vec<_>>().join("  ")),
            Cell::from(milliseconds(row.p50)),
            Cell::from(milliseconds(row.p99)),
            if row.errors == 0 { errors.green() } else { errors.red() },
            Cell::from(row.route.as_str()),
        ])
    });
    let widths = [
        Constraint::Length(22),
        Constraint::Length(8),
        Constraint::Min(36),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(20),
    ];
    let header = TableRow::new(["callers", "rate", "share (weight)", "p50", "p99", "errors", "route in force"]);
    Table::new(lines, widths)
        .header(header.style(Style::new().bold().underlined()))
        .block(Block::bordered().title(" a mesh in one process: edit examples/quickstart/mesh/*.yaml, q to quit "))
}

fn status_of(message: &str) -> Paragraph<'_> {
    Paragraph::new(message).wrap(Wrap { trim: true }).block(Block::bordered().title(" control plane "))
}

fn share_of(share: &Share) -> String {
    format!("{} {:.0} % ({:.0} %)", share.version, share.seen, share.promised)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
