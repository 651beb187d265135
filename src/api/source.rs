//! Where a delivery's files are, and what it waits for.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::rules;

/// Where the files are: exactly one kind of source.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.volume) != has(self.s3)").message("a source is exactly one of volume and s3")
)]
pub struct SourceSpec {
    /// Files on the operator's volume, under the folder of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSource>,

    /// Objects in a bucket of ours, read as the operator's own identity, which the operator's configuration gives to namespaces by bucket and prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,
}

/// Files on the operator's volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSource {
    /// The files, relative to this namespace's folder on the operator's volume. "*" and "?" stay within a folder, "**" crosses folders; case-sensitive. Names that begin with "." or "_" or end in ".tmp" match only when the pattern names them so.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('/') && !self.endsWith('/') && !self.contains('//')").message("a path is relative to the namespace's folder: no leading or closing \"/\" and no \"//\""),
        validation = Rule::new("!self.matches('(^|/)[.][.]?(/|$)')").message("a path has no \".\" or \"..\" segment: it can't leave the namespace's folder"),
        validation = Rule::new("!self.matches('[^/][*][*]|[*][*][^/]')").message("\"**\" is a whole segment of the path: a/**/*.csv"),
        validation = rules::no_control_characters()
    )]
    pub path: String,

    /// Every file must have been still this long before anything is planned. Absent: not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_between("1s", "8760h"))]
    pub min_age: Option<DurationText>,
}

/// Objects in a bucket of ours.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Source {
    /// Our bucket, by its name: 3 to 63 lower-case letters, digits, dots and hyphens. It must be of the operator's own account.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(
        validation = rules::bucket_characters(),
        validation = rules::bucket_ends(),
        validation = rules::bucket_dots(),
        validation = rules::bucket_no_address(),
        validation = rules::bucket_not_reserved(),
        validation = rules::bucket_no_alias(),
        validation = rules::bucket_general_purpose(),
    )]
    pub bucket: String,

    /// What the keys of all objects begin with: empty, or ends with "/". Absent: the whole bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = rules::prefix_closed(),
        validation = rules::prefix_relative(),
        validation = rules::prefix_no_empty_segment(),
        validation = rules::prefix_no_dot_segment(),
        validation = rules::prefix_bytes(),
        validation = rules::no_control_characters(),
    )]
    pub prefix: Option<String>,

    /// Which objects, by their keys behind the prefix; the patterns are those of volume.path, and one that matches is enough. Absent: all, but for those with a name that begins with "." or "_" or ends in ".tmp".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("items" = rules::pattern(), "x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = rules::patterns_relative(),
        validation = rules::patterns_no_dot_segment(),
        validation = rules::patterns_cross_whole(),
        validation = rules::patterns_no_control_characters(),
    )]
    pub include: Option<Vec<String>>,

    /// Which of these objects are left out, by the same patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("items" = rules::pattern(), "x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = rules::patterns_relative(),
        validation = rules::patterns_no_dot_segment(),
        validation = rules::patterns_cross_whole(),
        validation = rules::patterns_no_control_characters(),
    )]
    pub exclude: Option<Vec<String>>,

    /// The bucket's region. Absent: the operator's own, or in the aws partition the one that the bucket says. Required where both are outside that partition and differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = rules::region())]
    pub region: Option<String>,
}

/// A marker beside the source: nothing is planned before it exists.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFor {
    /// The marker: a file in the source's own folder (its path as far as no wildcard stands in it, without the last name) or below it; of objects one below the prefix. It is not delivered, unless the source names it itself.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('/') && !self.endsWith('/') && !self.contains('//')").message("a marker is relative to the source's folder: no leading or closing \"/\" and no \"//\""),
        validation = Rule::new("!self.matches('(^|/)[.][.]?(/|$)')").message("a marker's path has no \".\" or \"..\" segment: it can't leave the source's folder"),
        validation = Rule::new("!self.matches('[*?]')").message("a marker is one file: its path has no \"*\" or \"?\""),
        validation = rules::no_control_characters()
    )]
    pub path: String,
}
