//! Uploads files with AWS's own transfer manager, and nothing else:
//! `transfer-manager BUCKET PREFIX CONCURRENCY FILE...`; the endpoint and the key come from the environment.

use std::path::Path;

use aws_sdk_s3_transfer_manager::Client;
use aws_sdk_s3_transfer_manager::io::InputStream;
use aws_sdk_s3_transfer_manager::types::{ConcurrencyMode, PartSize};

/// As the operator's.
const PART_BYTES: u64 = 8 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bucket, prefix, concurrency, files @ ..] = arguments.as_slice() else {
        return Err("usage: transfer-manager BUCKET PREFIX CONCURRENCY FILE...".into());
    };
    let config = aws_sdk_s3_transfer_manager::from_env()
        .concurrency(ConcurrencyMode::Explicit(concurrency.parse()?))
        .part_size(PartSize::Target(PART_BYTES))
        .load()
        .await;
    let client = Client::new(config);
    // How many are under way it decides itself.
    let mut uploads = Vec::new();
    for file in files {
        let name = Path::new(file).file_name().unwrap_or_default();
        let upload = client
            .upload()
            .bucket(bucket)
            .key(format!("{prefix}{}", name.to_string_lossy()))
            .body(InputStream::from_path(file)?)
            .initiate()?;
        uploads.push(upload);
    }
    for upload in uploads {
        upload.join().await?;
    }
    Ok(())
}
