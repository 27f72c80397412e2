//! A page of pictures and tables in one file.

use std::fmt::Write as _;

use super::Chart;

/// Light, or dark where the reader's system is: the pictures take ground, grid and ink from here.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#464646;--grid:#e1e1e1;--ground:#fff;--text:#222}\
@media(prefers-color-scheme:dark){:root{--ink:#c8c8c8;--grid:#3a3a3a;--ground:#161616;--text:#ddd}}\
body{font:15px/1.45 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;\
color:var(--text);background:var(--ground)}h1{font-size:1.5em}h2{font-size:1.1em;margin-top:2em}svg{max-width:100%;height:auto;\
border:1px solid var(--grid);margin:.5em 0}table{border-collapse:collapse;font-size:.9em}th,td{text-align:left;\
padding:.15em .9em .15em 0;border-bottom:1px solid var(--grid);vertical-align:top}td.n{text-align:right;\
font-variant-numeric:tabular-nums}.ok{color:#00695c;font-weight:600}.bad{color:#b3261e;font-weight:600}\
.key{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 1em;vertical-align:-.1em}.band{opacity:.4}\
h3{font-size:.95em;margin:1.2em 0 .2em}p{margin:.3em 0}";

/// Rows under a head. Cells that begin with a digit or a minus stand to the right.
pub(crate) struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// What is on the page so far.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new(title: &str) -> Page {
        let title = escaped(title);
        Page(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        ))
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes whatever is written.
        let _ = writeln!(self.0, "{text}");
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.add(format_args!("<h2>{}</h2>", escaped(title)));
    }

    /// A line, well or not.
    pub(crate) fn verdict(&mut self, good: bool, text: &str) {
        let class = if good { "ok" } else { "bad" };
        self.add(format_args!("<p class=\"{class}\">{}</p>", escaped(text)));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.add(format_args!("<p>{}</p>", escaped(text)));
    }

    /// Names of colours.
    pub(crate) fn legend(&mut self, kinds: &[(String, String)]) {
        self.keys("band", kinds);
    }

    fn keys(&mut self, class: &str, names: &[(String, String)]) {
        let key = |(colour, name): &(String, String)| {
            format!("<span class=\"key {class}\" style=\"background:{colour}\"></span>{}", escaped(name))
        };
        if !names.is_empty() {
            self.add(format_args!("<p>{}</p>", names.iter().map(key).collect::<String>()));
        }
    }

    /// A picture under its name, with the colours of its lines.
    ///
    /// # Errors
    /// It cannot be drawn; says why.
    pub(crate) fn chart(&mut self, chart: &Chart<'_>) -> Result<(), String> {
        let svg = chart.svg(super::SIZE)?;
        self.add(format_args!("<h3>{} ({})</h3>", escaped(chart.title), escaped(chart.unit)));
        self.keys("line", &chart.legend());
        self.add(format_args!("{svg}"));
        Ok(())
    }

    /// A picture that is drawn already, under its name.
    pub(crate) fn picture(&mut self, title: &str, svg: &str) {
        self.add(format_args!("<h3>{}</h3>{svg}", escaped(title)));
    }

    pub(crate) fn table(&mut self, table: &Table) {
        let head: String = table.head.iter().map(|cell| format!("<th>{}</th>", escaped(cell))).collect();
        let cell = |cell: &String| {
            let number = cell.starts_with(|it: char| it.is_ascii_digit() || it == '-');
            format!("<td{}>{}</td>", if number { " class=\"n\"" } else { "" }, escaped(cell))
        };
        let row = |row: &Vec<String>| format!("<tr>{}</tr>\n", row.iter().map(cell).collect::<String>());
        let rows: String = table.rows.iter().map(row).collect();
        self.add(format_args!("<table><tr>{head}</tr>\n{rows}</table>"));
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        self.add(format_args!("</body></html>"));
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_cell_stays_in_it() {
        let mut page = Page::new("a <b>");
        page.table(&Table { head: vec!["x".into()], rows: vec![vec!["<script>".into(), "-3".into()]] });
        let text = page.finish();
        assert!(text.contains("a &lt;b&gt;") && text.contains("&lt;script&gt;") && !text.contains("<script"));
        assert!(text.contains("<td class=\"n\">-3</td>") && text.trim_end().ends_with("</html>"));
        assert!(!text.contains("http"), "it needs no network");
    }
}
