// Plays what is in a folder with real players in a real browser, as told; prints what came of it. Judges nothing.
//
//   node drive.js FOLDER [LANES] < cases.json > results.json
//
// Does so many cases at a time, otherwise one after the other: those that play side by side take each other's time.
//
// In: a list of cases, `{ "player": "hls" | "dash" | "shaka" | "native", "steps": [...] }`. The steps are the methods
// of the class Stage in page/stage.js, such as `{ "do": "load", "url": "master.m3u8" }` and `{ "do": "play", "to": 5 }`;
// and `{ "do": "screenshot", "file": "..." }`. Files of FOLDER go by their names in it. CHROMIUM names the browser.
//
// Out: for each case its `steps`, each with what came of it, up to the first that failed; and `complaints`: what the
// page or the browser wrote to the console as a warning or an error, and answers that were none.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { serve } from './serve.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const [, , folder, lanes = 1] = process.argv;
const cases = JSON.parse(readFileSync(0, 'utf8'));

// Two origins: media is seldom served from where the page is.
const media = await serve({ '/': folder });
const pages = await serve({ '/lib/': join(here, 'node_modules'), '/': join(here, 'page') });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
});
const results = [];
const waiting = cases.entries();
const lane = async () => {
  for (const [place, { player, steps }] of waiting) results[place] = { player, ...(await perform(player, steps)) };
};
await Promise.all(Array.from({ length: Number(lanes) }, lane));
await browser.close();
process.stdout.write(`${JSON.stringify(results)}\n`);

async function perform(player, steps) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 760 } });
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  // Whoever started this has a limit for all of it.
  await page.goto(`${pages}/${player}.html`, { timeout: 0 });
  const done = [];
  for (const step of steps) {
    if (step.do === 'screenshot') {
      await page.screenshot({ path: step.file });
      continue;
    }
    const told = step.url === undefined ? step : { ...step, url: `${media}/${step.url}` };
    done.push(await page.evaluate((step) => window.stage.perform(step), told));
    if (done.at(-1).failure !== undefined) break;
  }
  await page.close();
  return { steps: done, complaints };
}
