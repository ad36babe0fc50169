//! The shapes of Kubernetes' own kinds, from the JSON Schemas that `k8s-openapi` generates.
//!
//! Input: a kind of Kubernetes itself. Output: its [`Schema`]. Guarantee: what Go's decoder takes is taken:
//! null for anything, absent required fields (validation asks for those), and `status` and `managedFields`,
//! which the server writes, as they come.

use super::{Form, Limits, Object, Schema, Shape, ShapeId, Shapes, TextRule};
use crate::frontend::kinds::Kind;
use k8s_openapi::api::{apps, batch, core, discovery, networking};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rustc_hash::FxHashMap;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};
use std::sync::{Arc, OnceLock};

/// Kinds that share the shape of a pod; made together, because that is most of each.
const WITH_PODS: [Kind; 8] = [
    Kind::Pod,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::ReplicaSet,
    Kind::ReplicationController,
    Kind::Job,
    Kind::CronJob,
];

/// A kind with the root of its shapes.
type Root = (Kind, ShapeId);

/// The schema of a kind of Kubernetes itself.
pub(super) fn schema(kind: Kind) -> Schema {
    static SHARED: OnceLock<(Arc<Shapes>, Vec<Root>)> = OnceLock::new();
    let own;
    let (shapes, roots) = if WITH_PODS.contains(&kind) {
        SHARED.get_or_init(|| generate(&WITH_PODS))
    } else {
        own = generate(&[kind]);
        &own
    };
    let root = roots.iter().find(|(other, _)| *other == kind);
    Schema::new(
        kind,
        Arc::clone(shapes),
        root.map_or(ShapeId(0), |(_, root)| *root),
    )
}

/// Adds the shape of object metadata, which is the same for custom resources.
pub(super) fn object_meta(shapes: &mut Shapes) -> ShapeId {
    let mut generator = SchemaGenerator::default();
    let schema = generator.subschema_for::<ObjectMeta>();
    let definitions = generator.take_definitions(false);
    Translation::new(shapes, &definitions).shape(schema.as_value())
}

fn generate(kinds: &[Kind]) -> (Arc<Shapes>, Vec<Root>) {
    let mut generator = SchemaGenerator::default();
    let schemas: Vec<_> = kinds
        .iter()
        .map(|kind| (*kind, json_schema(*kind, &mut generator)))
        .collect();
    let definitions = generator.take_definitions(false);
    let mut shapes = Shapes::default();
    let mut translation = Translation::new(&mut shapes, &definitions);
    let roots = schemas
        .iter()
        .map(|(kind, schema)| (*kind, translation.root(schema)))
        .collect();
    (Arc::new(shapes), roots)
}

fn json_schema(kind: Kind, generator: &mut SchemaGenerator) -> Value {
    fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
        T::json_schema(generator).to_value()
    }
    match kind {
        Kind::NetworkPolicy => of::<networking::v1::NetworkPolicy>(generator),
        Kind::Namespace => of::<core::v1::Namespace>(generator),
        Kind::Node => of::<core::v1::Node>(generator),
        Kind::Pod => of::<core::v1::Pod>(generator),
        Kind::Service => of::<core::v1::Service>(generator),
        Kind::ServiceAccount => of::<core::v1::ServiceAccount>(generator),
        Kind::Endpoints => of::<core::v1::Endpoints>(generator),
        Kind::EndpointSlice => of::<discovery::v1::EndpointSlice>(generator),
        Kind::Deployment => of::<apps::v1::Deployment>(generator),
        Kind::StatefulSet => of::<apps::v1::StatefulSet>(generator),
        Kind::DaemonSet => of::<apps::v1::DaemonSet>(generator),
        Kind::ReplicaSet => of::<apps::v1::ReplicaSet>(generator),
        Kind::ReplicationController => of::<core::v1::ReplicationController>(generator),
        Kind::Job => of::<batch::v1::Job>(generator),
        Kind::CronJob => of::<batch::v1::CronJob>(generator),
        Kind::AdminNetworkPolicy
        | Kind::BaselineAdminNetworkPolicy
        | Kind::ClusterNetworkPolicy
        | Kind::CiliumNetworkPolicy
        | Kind::CiliumClusterwideNetworkPolicy
        | Kind::CiliumCidrGroup
        | Kind::DnsSnapshot => Value::Bool(true),
    }
}

/// From JSON Schema to shapes; definitions are translated when first met.
struct Translation<'a> {
    shapes: &'a mut Shapes,
    definitions: &'a Map<String, Value>,
    done: FxHashMap<&'a str, ShapeId>,
}

impl<'a> Translation<'a> {
    fn new(shapes: &'a mut Shapes, definitions: &'a Map<String, Value>) -> Self {
        Self {
            shapes,
            definitions,
            done: FxHashMap::default(),
        }
    }

    fn root(&mut self, schema: &Value) -> ShapeId {
        let id = self.inline(schema);
        let any = self.shapes.add(Shape::default());
        if let Some(shape) = self.shapes.nodes.get_mut(id.0 as usize)
            && let Form::Object(object) = &mut shape.form
        {
            object.fields.insert("status".into(), any);
        }
        id
    }

    fn shape(&mut self, schema: &Value) -> ShapeId {
        let reference = schema.get("$ref").and_then(Value::as_str);
        match reference.and_then(|reference| reference.rsplit('/').next()) {
            Some(name) => self.definition(name),
            None => self.inline(schema),
        }
    }

    fn definition(&mut self, name: &str) -> ShapeId {
        let Some((name, schema)) = self.definitions.get_key_value(name) else {
            return self.shapes.add(Shape::default());
        };
        if let Some(id) = self.done.get(name.as_str()) {
            return *id;
        }
        let id = self.shapes.add(Shape::default());
        self.done.insert(name, id);
        let form = well_known(name).unwrap_or_else(|| self.form(schema));
        self.shapes.set(
            id,
            Shape {
                form,
                refuses_null: false,
            },
        );
        id
    }

    fn inline(&mut self, schema: &Value) -> ShapeId {
        let form = self.form(schema);
        self.shapes.add(Shape {
            form,
            refuses_null: false,
        })
    }

    fn form(&mut self, schema: &Value) -> Form {
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return Form::IntOrString(None);
        }
        let text = |key| schema.get(key).and_then(Value::as_str);
        match text("type") {
            Some("boolean") => Form::Boolean,
            Some("number") => Form::Number,
            Some("integer") => integer(text("format")),
            Some("string") if text("format") == Some("date-time") => Form::Time,
            Some("string") => Form::Text(TextRule::default()),
            Some("array") => self.list(schema),
            Some("object") => self.object(schema),
            Some(_) | None => Form::Any,
        }
    }

    fn list(&mut self, schema: &Value) -> Form {
        let items = match schema.get("items") {
            Some(items) => self.shape(items),
            None => self.shapes.add(Shape::default()),
        };
        Form::List {
            items,
            limits: Limits::default(),
            is_set: false,
        }
    }

    fn object(&mut self, schema: &Value) -> Form {
        if let Some(values) = schema.get("additionalProperties") {
            return Form::Map {
                values: self.shape(values),
            };
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Form::Any;
        };
        let mut fields = FxHashMap::default();
        for (name, schema) in properties {
            let id = if name == "managedFields" {
                self.shapes.add(Shape::default())
            } else {
                self.shape(schema)
            };
            fields.insert(name.as_str().into(), id);
        }
        Form::Object(Object {
            fields,
            ..Object::default()
        })
    }
}

/// Types whose decoding their JSON Schema does not tell.
fn well_known(definition: &str) -> Option<Form> {
    (definition == "io.k8s.apimachinery.pkg.api.resource.Quantity").then_some(Form::Quantity)
}

fn integer(format: Option<&str>) -> Form {
    let (least, most) = if format == Some("int32") {
        (i64::from(i32::MIN), i64::from(i32::MAX))
    } else {
        (i64::MIN, i64::MAX)
    };
    Form::Integer {
        least,
        most,
        is_bounded: false,
    }
}
