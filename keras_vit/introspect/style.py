"""CSS of the page: light and dark, phone and desktop, no network."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1b2027; --soft: #6a7280; --rule: #e2e4e8;
  --accent: #7a2e8e; --bar: #eadcf0; --code: #f1f1ef;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121317; --card: #1b1d22; --ink: #eceef2; --soft: #9aa3b2; --rule: #30343d;
    --accent: #e3a6f3; --bar: #3b2943; --code: #14161a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans",
    sans-serif;
}
main { max-width: 1100px; margin: 0 auto; padding: 44px 20px 72px; }
h1 { font-size: 36px; line-height: 1.15; margin: 0 0 8px; letter-spacing: -.02em;
  overflow-wrap: anywhere; }
h2 { font-size: 22px; margin: 56px 0 6px; letter-spacing: -.01em; }
h3 { font-size: 17px; margin: 0; overflow-wrap: anywhere; }
p { margin: 0 0 14px; max-width: 72ch; }
.soft { color: var(--soft); font-size: 15px; }
.facts { display: flex; flex-wrap: wrap; gap: 6px 26px; margin: 18px 0 0; padding: 0;
  list-style: none; }
.facts b { display: block; font-size: 22px; line-height: 1.25; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; }
.facts li { color: var(--soft); font-size: 13px; }
.facts b { color: var(--ink); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 14px;
  padding: 20px 22px; margin: 16px 0 0; }
.views { display: grid; gap: 14px; margin: 16px 0 0;
  grid-template-columns: repeat(4, minmax(0, 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px;
  background: var(--code); }
figcaption { color: var(--soft); font-size: 13px; line-height: 1.35;
  padding-top: 6px; }
.guesses { margin: 12px 0 0; padding: 0; list-style: none; display: grid; gap: 5px; }
.guesses li { display: grid; grid-template-columns: minmax(0, 220px) 1fr 56px;
  gap: 12px; align-items: center; font-size: 14px; font-variant-numeric: tabular-nums; }
.guesses li:first-child { font-weight: 600; font-size: 16px; }
.guesses i { display: block; height: 8px; border-radius: 4px; background: var(--bar);
  overflow: hidden; }
.guesses i b { display: block; height: 100%; background: var(--accent); }
.guesses span { overflow-wrap: anywhere; } .guesses em { font-style: normal;
  text-align: right; color: var(--soft); }
h4 { font-size: 14px; font-weight: 600; margin: 20px 0 8px; }
.strip { display: grid; gap: 6px;
  grid-template-columns: repeat(auto-fill, minmax(78px, 1fr)); }
.strip figcaption { text-align: center; padding-top: 2px; font-size: 12px; }
.strip img { border-radius: 5px; }
details { margin: 16px 0 0; }
summary { cursor: pointer; font-size: 14px; font-weight: 600; color: var(--accent); }
details > :not(summary) { margin-top: 12px; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
svg { display: block; width: 100%; height: auto; margin: 0 auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto,
  "Liberation Sans", sans-serif !important; }
pre { background: var(--code); border: 1px solid var(--rule); border-radius: 8px;
  padding: 12px 14px; overflow-x: auto; font: 13px/1.55 ui-monospace, SFMono-Regular,
  Menlo, "Liberation Mono", monospace; white-space: pre-wrap; }
footer { margin-top: 56px; border-top: 1px solid var(--rule); padding-top: 16px; }
@media (max-width: 760px) {
  main { padding: 26px 14px 48px; } h1 { font-size: 28px; } h2 { margin-top: 40px; }
  .views { grid-template-columns: 1fr 1fr; }
  .card { padding: 16px 14px; }
  .guesses li { grid-template-columns: minmax(0, 132px) 1fr 52px; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""
