// Serves files as a plain web server does: ranges (RFC 9110 14), types, and to pages of other origins.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream';

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript',
  '.key': 'application/octet-stream',
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.m4s': 'video/iso.segment',
  '.mp4': 'video/mp4',
  '.mpd': 'application/dash+xml',
  '.ts': 'video/mp2t',
  '.vtt': 'text/vtt',
  '.webm': 'video/webm',
};

/** Serves the folders of `roots` (`{ '/prefix/': folder }`); resolves to the origin. Ends with the process. */
export async function serve(roots) {
  const server = createServer((request, response) => {
    answer(roots, request, response).catch((error) => {
      response.writeHead(error.code === 'ENOENT' || error.code === 'EISDIR' ? 404 : 500, CORS).end(error.message);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Headers': 'Range',
  'Access-Control-Expose-Headers': 'Content-Length, Content-Range, Date',
};

async function answer(roots, request, response) {
  if (request.method === 'OPTIONS') return void response.writeHead(204, CORS).end();
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://any').pathname));
  const prefix = Object.keys(roots).find((prefix) => path.startsWith(prefix));
  if (prefix === undefined) return void response.writeHead(404, CORS).end();
  const file = join(roots[prefix], path.slice(prefix.length));
  const found = await stat(file);
  if (!found.isFile()) return void response.writeHead(404, CORS).end();
  const headers = {
    ...CORS,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'no-store',
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
  };
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const [start, end] = asked
    ? [Number(asked[1]), Math.min(asked[2] === '' ? Infinity : Number(asked[2]), found.size - 1)]
    : [0, found.size - 1];
  if (asked && start > end) {
    return void response.writeHead(416, { ...headers, 'Content-Range': `bytes */${found.size}` }).end();
  }
  headers['Content-Length'] = end - start + 1;
  if (asked) headers['Content-Range'] = `bytes ${start}-${end}/${found.size}`;
  response.writeHead(asked ? 206 : 200, headers);
  if (request.method === 'HEAD' || found.size === 0) return void response.end();
  // A browser that hangs up in the middle is nothing to complain of.
  pipeline(createReadStream(file, { start, end }), response, () => {});
}
