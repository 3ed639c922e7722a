//! A live table on the terminal.

use std::{collections::VecDeque, path::Path, time::Duration};

use anyhow::Result;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Style, Stylize},
    text::Line,
    widgets::{Block, Cell, Paragraph, Row as TableRow, Table, Wrap},
};

use crate::monitor::{Row, Share};

/// Owns the terminal until it is dropped.
pub(crate) struct Live {
    terminal: DefaultTerminal,
    title: String,
    /// The last report.
    rows: Vec<Row>,
    /// The last messages, newest first.
    messages: VecDeque<String>,
}

impl Live {
    pub(crate) fn start(mesh: &Path) -> Result<Self> {
        let title = format!(" edit {}/*.yaml, q to quit ", shortest(mesh).display());
        Ok(Self { terminal: ratatui::try_init()?, title, rows: Vec::new(), messages: VecDeque::new() })
    }

    pub(crate) fn report(&mut self, rows: Vec<Row>) -> Result<()> {
        self.rows = rows;
        self.draw()
    }

    pub(crate) fn announce(&mut self, message: String) -> Result<()> {
        self.messages.push_front(message);
        self.messages.truncate(MOST_MESSAGES);
        self.draw()
    }

    fn draw(&mut self) -> Result<()> {
        let height = u16::try_from(self.rows.len()).unwrap_or(u16::MAX).saturating_add(BORDERS_AND_HEADER);
        self.terminal.draw(|frame| {
            let [table, log] = Layout::vertical([Constraint::Length(height), Constraint::Min(3)]).areas(frame.area());
            frame.render_widget(table_of(&self.rows, &self.title), table);
            frame.render_widget(log_of(&self.rows, &self.messages), log);
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

/// The path as seen from the working directory, where that is shorter.
fn shortest(path: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

fn table_of<'a>(rows: &'a [Row], title: &'a str) -> Table<'a> {
    let lines = rows.iter().map(|row| {
        let errors = Cell::from(row.errors.to_string());
        TableRow::new([
            Cell::from(row.name.as_str()).bold(),
            Cell::from(format!("{:.0}/s", row.rate)),
            Cell::from(if row.answers == 0 { "no answers".to_owned() } else { shares_of(row) }),
            Cell::from(milliseconds(row, row.p50)),
            Cell::from(milliseconds(row, row.p99)),
            if row.errors == 0 { errors.green() } else { errors.red() },
            Cell::from(row.route.as_str()),
        ])
    });
    let widths = [
        Constraint::Length(17),
        Constraint::Length(7),
        Constraint::Length(23),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Min(8),
    ];
    let header = TableRow::new(["callers", "rate", "share/weight", "p50 ms", "p99 ms", "errors", "route"]);
    Table::new(lines, widths)
        .header(header.style(Style::new().bold().underlined()))
        .block(Block::bordered().title(title))
}

fn log_of<'a>(rows: &'a [Row], messages: &'a VecDeque<String>) -> Paragraph<'a> {
    let errors = rows.iter().filter_map(|row| Some(Line::from(format!("{}: {}", row.name, row.last_error.as_ref()?))));
    let lines: Vec<Line<'_>> =
        errors.map(Stylize::red).chain(messages.iter().map(|text| text.as_str().into())).collect();
    Paragraph::new(lines).wrap(Wrap { trim: true }).block(Block::bordered().title(" what happened, newest first "))
}

fn shares_of(row: &Row) -> String {
    row.shares.iter().map(share_of).collect::<Vec<_>>().join("  ")
}

fn share_of(share: &Share) -> String {
    format!("{} {:.0}/{:.0} %", share.version, share.seen, share.promised)
}

/// Writes a latency of a row, of which there is none without answers.
fn milliseconds(row: &Row, latency: Duration) -> String {
    if row.answers == 0 { "-".to_owned() } else { format!("{:.2}", latency.as_secs_f64() * 1e3) }
}

const BORDERS_AND_HEADER: u16 = 3;
const MOST_MESSAGES: usize = 100;
