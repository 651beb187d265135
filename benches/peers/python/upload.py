"""Uploads files with s3transfer over the AWS common runtime: upload.py ENDPOINT REGION BUCKET PREFIX FILE..."""

import os
import sys

import botocore.session
from s3transfer.crt import (
    BotocoreCRTCredentialsWrapper,
    BotocoreCRTRequestSerializer,
    CRTTransferManager,
    create_s3_crt_client,
)

endpoint, region, bucket, prefix, *files = sys.argv[1:]
session = botocore.session.get_session()
credentials = BotocoreCRTCredentialsWrapper(session.get_credentials())
client = create_s3_crt_client(
    region=region,
    crt_credentials_provider=credentials.to_crt_credentials_provider(),
    use_ssl=endpoint.startswith("https:"),
    verify=os.environ.get("AWS_CA_BUNDLE"),
)
serializer = BotocoreCRTRequestSerializer(
    session, {"region_name": region, "endpoint_url": endpoint}
)
with CRTTransferManager(client, serializer) as manager:
    futures = [
        manager.upload(file, bucket, prefix + os.path.basename(file)) for file in files
    ]
    for future in futures:
        future.result()
