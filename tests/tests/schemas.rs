//! The JSON Schemas in `schemas/` are what the types give. `VERDICT_BLESS=1 cargo test --test schemas` writes
//! them.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};
use verdict_compiler::cli::schema::{NAMES, Name};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");

#[test]
fn files_are_what_the_types_give() -> io::Result<()> {
    let bless = std::env::var_os("VERDICT_BLESS").is_some();
    let mut wrong = Vec::new();
    for name in NAMES {
        let path = Path::new(FOLDER).join(file(*name));
        let schema = name.schema();
        if bless {
            fs::create_dir_all(FOLDER)?;
            fs::write(&path, &schema)?;
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&*schema) {
            wrong.push(file(*name));
        }
    }
    assert!(
        wrong.is_empty(),
        "not what the types give: {wrong:?}; read the change, then run \
         `VERDICT_BLESS=1 cargo test --test schemas`"
    );
    Ok(())
}

#[test]
fn no_file_is_left_over() -> io::Result<()> {
    let known: BTreeSet<String> = NAMES.iter().map(|name| file(*name)).collect();
    for entry in fs::read_dir(FOLDER)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Those of `verdict-node` are compared where it is.
        let is_known = known.contains(&name) || name.starts_with("node-");
        assert!(is_known, "no format has the schema {name}");
    }
    Ok(())
}

fn file(name: Name) -> String {
    format!("{}.schema.json", name.text())
}
