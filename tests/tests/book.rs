//! The book against the program and against itself: each diagnostic code has its page and no page lacks a
//! code, every page is in the table of contents, and every link within the repository leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use verdict_compiler::diagnostic::{Code, codes};
use verdict_compiler::frontend::settings::cilium;

/// Paths below the repository's root, with the text.
type Pages = BTreeMap<PathBuf, String>;

#[test]
fn every_code_has_its_page() -> io::Result<()> {
    let pages = pages()?;
    let listed = listed(&pages);
    let wrong: Vec<String> = codes::ALL
        .iter()
        .flat_map(|code| faults_of_page(code, &pages, &listed))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_diagnostic_page_has_a_code() -> io::Result<()> {
    let known: BTreeSet<PathBuf> = codes::ALL.iter().map(|code| page_of(code)).collect();
    let folder = Path::new("book/src/diagnostics");
    let strays: Vec<PathBuf> = pages()?
        .into_keys()
        .filter(|path| path.starts_with(folder) && !known.contains(path))
        .collect();
    assert!(strays.is_empty(), "no code has these pages: {strays:?}");
    Ok(())
}

#[test]
fn every_page_is_in_the_summary() -> io::Result<()> {
    let pages = pages()?;
    let listed = listed(&pages);
    let orphans: Vec<&PathBuf> = pages
        .keys()
        .filter(|path| path.starts_with("book/src") && !path.ends_with("SUMMARY.md"))
        .filter(|path| !listed.contains(*path))
        .collect();
    assert!(orphans.is_empty(), "not in SUMMARY.md: {orphans:?}");
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> io::Result<()> {
    let pages = pages()?;
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|(path, text)| links(text).map(move |link| (path, link)))
        .filter(|(path, link)| !leads_somewhere(path, link, &pages))
        .map(|(path, link)| format!("{}: {link}", path.display()))
        .collect();
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    Ok(())
}

#[test]
fn every_option_of_cilium_is_in_the_settings() -> io::Result<()> {
    let pages = pages()?;
    let settings = pages.get(Path::new("book/src/settings.md"));
    let missing: Vec<&str> = cilium::ALL
        .iter()
        .map(|option| option.name)
        .filter(|name| !settings.is_some_and(|text| text.contains(&format!("\n| `{name}` | "))))
        .collect();
    assert!(missing.is_empty(), "not in the book: {missing:?}");
    Ok(())
}

fn faults_of_page(code: &Code, pages: &Pages, listed: &BTreeSet<PathBuf>) -> Vec<String> {
    let path = page_of(code);
    let name = path.display();
    let Some(text) = pages.get(&path) else {
        return vec![format!("{name} is missing")];
    };
    let title = format!("# {}: {}", code.id, code.title);
    let severity = format!("Severity: **{}**", code.severity);
    let mut faults = Vec::new();
    if !listed.contains(&path) {
        faults.push(format!("{name} is not listed in SUMMARY.md"));
    }
    if text.lines().next() != Some(&title) {
        faults.push(format!("{name} does not start with `{title}`"));
    }
    if text.lines().nth(2) != Some(&severity) {
        faults.push(format!(
            "{name} does not have `{severity}` in its third line"
        ));
    }
    faults
}

fn page_of(code: &Code) -> PathBuf {
    PathBuf::from(format!("book/src/diagnostics/{}.md", code.id))
}

/// The pages that the table of contents names.
fn listed(pages: &Pages) -> BTreeSet<PathBuf> {
    let summary = Path::new("book/src/SUMMARY.md");
    pages
        .get(summary)
        .into_iter()
        .flat_map(|text| links(text))
        .map(|link| target(summary, link))
        .collect()
}

/// The Markdown files of the book and of the top level.
fn pages() -> io::Result<Pages> {
    let root = root();
    let mut pages = Pages::new();
    for entry in root.read_dir()? {
        read_page(&root, &entry?.path(), &mut pages)?;
    }
    let mut folders = vec![root.join("book/src")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                read_page(&root, &path, &mut pages)?;
            }
        }
    }
    Ok(pages)
}

fn read_page(root: &Path, path: &Path, pages: &mut Pages) -> io::Result<()> {
    if path.extension().is_some_and(|extension| extension == "md") {
        let below = path.strip_prefix(root).map_err(io::Error::other)?;
        pages.insert(below.to_path_buf(), std::fs::read_to_string(path)?);
    }
    Ok(())
}

fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// The targets of the links outside code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        })
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

fn leads_somewhere(page: &Path, link: &str, pages: &Pages) -> bool {
    if link.starts_with("https://") {
        return true;
    }
    let path = target(page, link);
    match (link.split_once('#'), pages.get(&path)) {
        (Some((_, anchor)), Some(text)) => headings(text).any(|heading| heading == anchor),
        (Some(_), None) => false,
        (None, _) => root().join(path).exists(),
    }
}

/// The file that a link in a page means.
fn target(page: &Path, link: &str) -> PathBuf {
    let file = link.split('#').next().unwrap_or_default();
    if file.is_empty() {
        return page.to_path_buf();
    }
    normal(&page.parent().unwrap_or(Path::new("")).join(file))
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        if part == Component::ParentDir {
            normal.pop();
        } else {
            normal.push(part);
        }
        normal
    })
}

/// The anchors that mdBook gives to headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    '-' | '_' => Some(letter),
                    letter => letter.is_alphanumeric().then_some(letter),
                })
                .collect()
        })
}
