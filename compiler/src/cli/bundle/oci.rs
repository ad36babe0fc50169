//! The documents of an OCI image layout (image-spec 1.1), as far as bundles need them.

use crate::bundle::{Blob, BundleError, Digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The file that says that a folder is a layout.
pub(super) const LAYOUT_FILE: &str = "oci-layout";
/// What it says.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that names the images.
pub(super) const INDEX_FILE: &str = "index.json";

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE_TYPE: &str = "application/vnd.verdict.bundle.v1";
const MANIFEST_TYPE: &str = "application/vnd.verdict.bundle.manifest.v1+json";
const CHUNK_TYPE: &str = "application/vnd.verdict.chunk.v1+zstd";

/// Names the image for tools: `generation-3`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The signature of the manifest, in hexadecimal.
const SIGNATURE: &str = "dev.verdict.signature";

/// The images of a layout. What is not known here stays as it is.
#[derive(Clone, Debug)]
pub(super) struct Index {
    document: Map<String, Value>,
    images: Vec<(Descriptor, Value)>,
}

/// What is read of an index.
#[derive(Deserialize)]
struct Manifests {
    manifests: Vec<Value>,
}

/// Where an index names its images.
const MANIFESTS: &str = "manifests";

/// Names a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A generation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Image {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn new(media_type: &str, digest: &Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{digest}"),
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The blob that is named. What it unpacks to is not told here.
    pub(super) fn blob(&self) -> Result<Blob, BundleError> {
        let digest = self.digest.strip_prefix("sha256:");
        let digest = digest.and_then(|digest| digest.parse().ok());
        let sha256 = digest.ok_or_else(|| wrong("a digest that is no SHA-256 digest"))?;
        Ok(Blob {
            sha256,
            bytes: self.size,
            plain: self.size,
        })
    }

    /// Whether it names a generation.
    pub(super) fn is_bundle(&self) -> bool {
        self.artifact_type.as_deref() == Some(BUNDLE_TYPE)
    }
}

fn wrong(why: &str) -> BundleError {
    BundleError::Malformed {
        of: format!("`{INDEX_FILE}`").into(),
        why: format!("it has {why}").into(),
    }
}

impl Index {
    pub(super) fn new() -> Self {
        let fields = [
            ("schemaVersion", 2.into()),
            ("mediaType", INDEX_TYPE.into()),
            (MANIFESTS, Value::Array(Vec::new())),
        ];
        let fields = fields.into_iter();
        Self {
            document: fields
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            images: Vec::new(),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let of = format!("`{INDEX_FILE}`");
        let Manifests { manifests } = parsed(&of, bytes)?;
        let images = manifests.into_iter().map(|value| {
            let descriptor = Descriptor::deserialize(&value);
            let descriptor = descriptor.map_err(|error| BundleError::Malformed {
                of: of.as_str().into(),
                why: error.to_string().into(),
            });
            Ok((descriptor?, value))
        });
        Ok(Self {
            document: parsed(&of, bytes)?,
            images: images.collect::<Result<_, BundleError>>()?,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let images = self.images.iter().map(|(_, value)| value.clone());
        let mut document = self.document.clone();
        document.insert(MANIFESTS.to_owned(), images.collect());
        written(&document)
    }

    /// The images.
    pub(super) fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.images.iter().map(|(descriptor, _)| descriptor)
    }

    /// Keeps some of the images.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Descriptor) -> bool) {
        self.images.retain(|(descriptor, _)| is_kept(descriptor));
    }

    /// Adds a generation, or puts it in the place of one of the same number.
    pub(super) fn add(&mut self, generation: u64, image: &[u8]) {
        let mut descriptor = Descriptor::new(IMAGE_TYPE, &Digest::of(image), image.len() as u64);
        let name = format!("generation-{generation}");
        descriptor.artifact_type = Some(BUNDLE_TYPE.to_owned());
        descriptor.annotations.insert(REF_NAME.to_owned(), name);
        if self.images().any(|one| *one == descriptor) {
            // With what others say of it.
            return;
        }
        self.retain(|one| one.annotations != descriptor.annotations);
        // A struct of strings and numbers is JSON.
        let value = serde_json::to_value(&descriptor).unwrap_or_default();
        self.images.push((descriptor, value));
    }
}

impl Image {
    /// The image of a generation, with its chunks in the order of their digests.
    pub(super) fn new(
        manifest: &[u8],
        signature: Option<&[u8]>,
        chunks: &BTreeMap<Digest, Blob>,
    ) -> Self {
        let chunk = |blob: &Blob| Descriptor::new(CHUNK_TYPE, &blob.sha256, blob.bytes);
        let signature = signature.map(|bytes| (SIGNATURE.to_owned(), crate::image::hex(bytes)));
        Self {
            schema_version: 2,
            media_type: IMAGE_TYPE.to_owned(),
            artifact_type: BUNDLE_TYPE.to_owned(),
            config: Descriptor::new(MANIFEST_TYPE, &Digest::of(manifest), manifest.len() as u64),
            layers: chunks.values().map(chunk).collect(),
            annotations: signature.into_iter().collect(),
        }
    }

    /// The signature of the manifest.
    pub(super) fn signature(&self) -> Option<Vec<u8>> {
        let text = self.annotations.get(SIGNATURE)?.as_bytes();
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let bytes = text.chunks(2).map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        });
        // What is no hexadecimal text is no signature of any key, and is told as that.
        Some(bytes.collect::<Option<Vec<u8>>>().unwrap_or_default())
    }
}

/// Reads a document.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(
    of: &str,
    bytes: &[u8],
) -> Result<T, BundleError> {
    serde_json::from_slice(bytes).map_err(|error| BundleError::Malformed {
        of: of.into(),
        why: error.to_string().into(),
    })
}

/// Writes a document: strings and numbers are JSON.
pub(super) fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}
