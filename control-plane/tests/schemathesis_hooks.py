"""What schemathesis does not know by itself: how the bytes of an upload by tus are sent, which is as they are."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
