// A real Chromium, and pages whose complaints are kept. `SOCKGATE_SCREENSHOTS` is a folder for pictures, if they are wanted.
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export const launch = () => chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });

/** What a browser says of its own accord while a server is away; a page cannot prevent it. */
const OUTAGE = /ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET|ERR_NETWORK|WebSocket connection to .* failed/;

/** A page in a browser profile of its own. `complaints` fills with all that it says on the console as an error. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.complaints = [];
  page.outage = false;
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (message.type() === "error" && !(page.outage && OUTAGE.test(text))) page.complaints.push(text);
  });
  // Everything that the element with this id has ever shown.
  await page.addInitScript(() => {
    globalThis.shown = (id) => globalThis.shown[id] ?? [];
    new MutationObserver(() => {
      for (const id of ["transport", "state"]) {
        const text = document.getElementById(id)?.textContent;
        const seen = (globalThis.shown[id] ??= []);
        if (text && seen.at(-1) !== text) seen.push(text);
      }
    }).observe(document, { childList: true, subtree: true, characterData: true });
  });
  await page.goto(url);
  return page;
}

/** A picture, where pictures are wanted. */
export async function picture(page, name) {
  const folder = process.env.SOCKGATE_SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}
