// Drives Chromium: a job as JSON on each line of standard input, what was seen of it on a line of standard output.
import readline from 'node:readline';
import {chromium} from 'playwright-core';

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--disable-dev-shm-usage']});

async function act(page, step) {
  if (step.fill) await page.fill(step.fill[0], step.fill[1]);
  if (step.choose) await page.selectOption(step.choose[0], step.choose[1]);
  if (step.file) await page.setInputFiles(step.file[0], {name: step.file[1], mimeType: 'application/octet-stream', buffer: Buffer.from(step.file[2])});
  if (step.press) await page.keyboard.press(step.press);
  if (step.type) await page.keyboard.type(step.type);
  const done = {waitUntil: 'load'};
  if (step.submit) await Promise.all([page.waitForNavigation(done), page.click(step.submit)]);
  if (step.enter) await Promise.all([page.waitForNavigation(done), page.keyboard.press('Enter')]);
}

// What the page is, as a person and as a reader for the blind would find it.
function look() {
  const controls = [...document.querySelectorAll('input, textarea, select, button')];
  return {
    text: document.body.innerText,
    title: document.title,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    scripts: document.scripts.length,
    controls: controls.map(c => {
      const box = c.getBoundingClientRect();
      return {tag: c.tagName.toLowerCase(), type: c.type, value: c.value, width: box.width, height: box.height,
              bottom: box.bottom, font: parseFloat(getComputedStyle(c).fontSize), labels: c.labels ? [...c.labels].map(l => l.innerText) : [],
              autocomplete: c.getAttribute('autocomplete'), invalid: c.getAttribute('aria-invalid'),
              described: (c.getAttribute('aria-describedby') || '').split(' ').filter(Boolean).map(id => document.getElementById(id)?.innerText ?? null)};
    }),
  };
}

async function visit(job) {
  const context = await browser.newContext({viewport: {width: job.width, height: job.height}, isMobile: !!job.phone, hasTouch: !!job.phone,
                                            javaScriptEnabled: job.script, colorScheme: job.dark ? 'dark' : 'light', deviceScaleFactor: 2});
  const page = await context.newPage();
  const seen = {requests: [], complaints: []};
  page.on('request', r => seen.requests.push([r.method(), r.url(), r.headers().referer ?? null]));
  page.on('console', m => seen.complaints.push(m.text()));
  page.on('pageerror', e => seen.complaints.push(String(e)));
  page.on('response', r => { seen.status = r.status(); });
  await page.goto(job.url, {waitUntil: 'load'});
  for (const step of job.steps ?? []) await act(page, step);
  Object.assign(seen, await page.evaluate(look));
  seen.cookies = await context.cookies();
  if (job.picture) await page.screenshot({path: job.picture, fullPage: true});
  await context.close();
  return seen;
}

for await (const line of readline.createInterface({input: process.stdin})) {
  const seen = await visit(JSON.parse(line)).catch(error => ({error: String(error)}));
  process.stdout.write(JSON.stringify(seen) + '\n');
}
await browser.close();
