//! The shape of each kind: which fields there are and what type their values have.
//!
//! Output: [`of`], one [`Schema`] per kind, made on first use. Kinds of Kubernetes itself are generated from
//! `k8s-openapi` ([`builtin`]); custom resources and our own documents are tables ([`custom`]). [`walk`]
//! holds an object against its schema, [`patterns`] are the patterns of strings, [`suggest`] says what an unknown field may have been meant to be.
//! Guarantee: a schema is a finite graph; an object is looked at once, whatever the schema.

mod builtin;
mod custom;
mod patterns;
mod suggest;
pub(super) mod walk;
mod words;

pub(super) use suggest::nearest;

use super::kinds::Kind;
use patterns::Pattern;
use rustc_hash::FxHashMap;
use std::sync::{Arc, OnceLock};

/// The shapes of one kind, or of several that share most of them.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    nodes: Vec<Shape>,
}

/// The index of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShapeId(u32);

/// The schema of one kind.
#[derive(Debug)]
pub(super) struct Schema {
    kind: Kind,
    shapes: Arc<Shapes>,
    root: ShapeId,
    fields: OnceLock<suggest::FieldIndex>,
}

/// What a value must look like.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// The type and what goes with it.
    pub(super) form: Form,
    /// Whether null is refused, as custom resources do. Go's decoder takes it for the zero value.
    pub(super) refuses_null: bool,
}

/// The type of a value.
#[derive(Debug, Default)]
pub(super) enum Form {
    /// Taken as it comes.
    #[default]
    Any,
    Boolean,
    /// A whole number.
    Integer {
        least: i64,
        most: i64,
        /// Whether the limits are the resource's own, not those of the type.
        is_bounded: bool,
    },
    /// Any number.
    Number,
    Text(TextRule),
    /// A number of 32 bits or a string, which may have to match.
    IntOrString(Option<&'static Pattern>),
    /// A Kubernetes quantity: a number or a string such as `500m`.
    Quantity,
    /// A time of RFC 3339.
    Time,
    List {
        items: ShapeId,
        limits: Limits,
        /// Whether no item may stand twice.
        is_set: bool,
    },
    /// Any keys, values of one shape.
    Map {
        values: ShapeId,
    },
    Object(Object),
}

/// What a string must look like.
#[derive(Debug, Default)]
pub(super) struct TextRule {
    pub(super) one_of: &'static [&'static str],
    pub(super) most_characters: Option<usize>,
    pub(super) pattern: Option<&'static Pattern>,
}

/// How many items, or fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) least: usize,
    pub(super) most: Option<usize>,
}

/// Fields by name.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) fields: FxHashMap<Box<str>, ShapeId>,
    /// Fields that must be there.
    pub(super) required: &'static [&'static str],
    pub(super) limits: Limits,
    /// Fields of which exactly one must be there, if there are any such.
    pub(super) one_of: &'static [&'static str],
    /// Fields of which at least one must be there, if there are any such.
    pub(super) any_of: &'static [&'static str],
}

impl Object {
    /// An object with these fields, none of which must be there.
    fn of(fields: &[(&str, ShapeId)]) -> Self {
        let fields = fields.iter().map(|(name, id)| ((*name).into(), *id));
        Self {
            fields: fields.collect(),
            ..Self::default()
        }
    }
}

impl Shapes {
    fn add(&mut self, shape: Shape) -> ShapeId {
        let id = ShapeId(crate::source::to_u32(self.nodes.len()));
        self.nodes.push(shape);
        id
    }

    fn set(&mut self, id: ShapeId, shape: Shape) {
        if let Some(slot) = self.nodes.get_mut(id.0 as usize) {
            *slot = shape;
        }
    }

    /// The shape behind an id; every id of this crate is of its own [`Shapes`].
    pub(super) fn get(&self, id: ShapeId) -> &Shape {
        static ANY: Shape = Shape {
            form: Form::Any,
            refuses_null: false,
        };
        self.nodes.get(id.0 as usize).unwrap_or(&ANY)
    }
}

impl Schema {
    fn new(kind: Kind, shapes: Arc<Shapes>, root: ShapeId) -> Self {
        Self {
            kind,
            shapes,
            root,
            fields: OnceLock::new(),
        }
    }
}

/// The schema of a kind.
pub(super) fn of(kind: Kind) -> &'static Schema {
    static SCHEMAS: [OnceLock<Schema>; Kind::ALL.len()] =
        [const { OnceLock::new() }; Kind::ALL.len()];
    static NOTHING: OnceLock<Schema> = OnceLock::new();
    // `Kind` has as many variants as `Kind::ALL` has items.
    let slot = SCHEMAS.get(kind as usize).unwrap_or(&NOTHING);
    slot.get_or_init(|| custom::schema(kind).unwrap_or_else(|| builtin::schema(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema_with_metadata() {
        for kind in Kind::ALL {
            let schema = of(kind);
            let Form::Object(object) = &schema.shapes.get(schema.root).form else {
                panic!("{kind:?} is no object");
            };
            assert!(object.fields.contains_key("metadata"), "{kind:?}");
        }
    }
}
