// Uploads a file with tus-js-client, as a page would; prints what came of it. Judges nothing.
//
//   node upload.js '{ "endpoint": "http://.../v1/tus", "token": "...", "file": "...", "metadata": {}, ... }'
//
// More that may be told: `chunk`, bytes of a request; `abortAfter`, bytes after which it is broken off and left; `url`, where an upload
// is to be gone on with that somebody else has begun.
//
// Out: `{ "end": "done" | "aborted" | "failed", "url", "error", "requests": [{ "method", "status", "offset" }] }`: the requests in their
// order, with the byte that each began at or was told.
import { createReadStream, statSync } from 'node:fs';

import { Upload } from 'tus-js-client';

const told = JSON.parse(process.argv[2]);
const requests = [];
const chunk = told.chunk ?? 1 << 20;

const ended = await new Promise((resolve) => {
  const upload = new Upload(createReadStream(told.file), {
    endpoint: told.endpoint,
    uploadUrl: told.url,
    uploadSize: statSync(told.file).size,
    chunkSize: chunk,
    metadata: told.metadata,
    headers: { Authorization: `Bearer ${told.token}` },
    retryDelays: [100, 500, 1000, 2000, 4000],
    storeFingerprintForResuming: false,
    onAfterResponse: (request, response) => {
      const offset = request.getHeader('Upload-Offset') ?? response.getHeader('Upload-Offset');
      requests.push({ method: request.getMethod(), status: response.getStatus(), offset });
    },
    onProgress: (sent) => {
      if (told.abortAfter === undefined || sent < told.abortAfter) return;
      upload.abort().then(() => resolve({ end: 'aborted', url: upload.url }));
    },
    onSuccess: () => resolve({ end: 'done', url: upload.url }),
    onError: (error) => resolve({ end: 'failed', url: upload.url, error: String(error) }),
  });
  upload.start();
});
process.stdout.write(`${JSON.stringify({ ...ended, requests })}\n`);
// A file that is read no further is open yet.
process.exit(0);
