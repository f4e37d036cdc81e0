//! Rows for people and for scripts: a table, JSON, or a line of JSON each.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// `--output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns, for people.
    #[default]
    Table,
    /// One JSON document: `{"version":1,"items":[…]}`.
    Json,
    /// A line of JSON for each row.
    Ndjson,
}

/// A row that can be printed either way.
pub(crate) trait Row: Serialize {
    /// The heads of the columns.
    const HEAD: &'static [&'static str];

    /// One text for each column.
    fn cells(&self) -> Vec<String>;
}

/// The version of the JSON shapes; it grows when a field goes or changes its meaning, not when one is added.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a, R> {
    version: u32,
    items: &'a [R],
}

/// Prints the rows to stdout.
pub(crate) fn print<R: Row>(rows: &[R], output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        Output::Table => out.write_all(table(R::HEAD, rows).as_bytes())?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &Document { version: VERSION, items: rows })?;
            out.write_all(b"\n")?;
        }
        Output::Ndjson => {
            for row in rows {
                serde_json::to_writer(&mut out, row)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()
}

/// Columns two spaces apart; a column of numbers stands to the right.
fn table<R: Row>(head: &[&str], rows: &[R]) -> String {
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let longest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            longest.max(head[column].len())
        })
        .collect();
    let numbers: Vec<bool> = (0..head.len())
        .map(|column| !cells.is_empty() && cells.iter().all(|row| is_number(&row[column])))
        .collect();
    let mut text = String::new();
    let mut line = |row: &[&str]| {
        let mut shown = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let width = widths[column];
            shown.push_str(&if numbers[column] {
                format!("{gap}{cell:>width$}")
            } else {
                format!("{gap}{cell:<width$}")
            });
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    };
    line(head);
    for row in &cells {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

fn is_number(cell: &str) -> bool {
    cell == "-" || cell.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Tree {
        name: &'static str,
        rings: Option<u32>,
    }

    impl Row for Tree {
        const HEAD: &'static [&'static str] = &["TREE", "RINGS"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.rings.map_or_else(|| "-".to_owned(), |rings| rings.to_string())]
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = [Tree { name: "oak", rings: Some(1200) }, Tree { name: "sequoia", rings: None }];
        assert_eq!(table(Tree::HEAD, &rows), "TREE     RINGS\noak       1200\nsequoia      -\n");
    }

    #[test]
    fn no_rows_leave_the_head() {
        assert_eq!(table::<Tree>(Tree::HEAD, &[]), "TREE  RINGS\n");
    }
}
