"""CSS of the report: light and dark, phone and desktop, no network."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16181d; --soft: #5c6370; --rule: #e3e6eb;
  --accent: #3b5bdb; --second: #e8590c; --good: #2b8a3e; --good-bg: #e6f6ea;
  --bad: #c92a2a; --bad-bg: #fdeaea; --code: #f1f3f6; --bar: #dbe4ff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101216; --card: #191c22; --ink: #eceef2; --soft: #9aa3b2; --rule: #2b303a;
    --accent: #91a7ff; --second: #ffa94d; --good: #69db7c; --good-bg: #16301d;
    --bad: #ff8787; --bad-bg: #3a1a1c; --code: #12151a; --bar: #2c3766;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans",
    sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 64px; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 24px; }
header > div { flex: 1 1 320px; min-width: 0; }
h1 { font-size: 34px; line-height: 1.15; margin: 0 0 6px; letter-spacing: -.02em;
  overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 44px 0 12px; letter-spacing: -.01em; }
h3 { font-size: 14px; margin: 0 0 8px; font-weight: 600; }
p { margin: 0 0 12px; } .soft { color: var(--soft); font-size: 14px; }
.pill { display: inline-block; border-radius: 999px; padding: 2px 11px; font-size: 13px;
  font-weight: 600; white-space: nowrap; }
.pill.good { color: var(--good); background: var(--good-bg); }
.pill.bad { color: var(--bad); background: var(--bad-bg); }
.pill.big { font-size: 16px; padding: 6px 18px; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 12px;
  padding: 18px 20px; }
.grid { display: grid; gap: 16px; }
.three { align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.files { padding: 4px 20px; overflow-x: auto; }
th, td { padding: 11px 10px; text-align: right; border-top: 1px solid var(--rule);
  white-space: nowrap; }
thead th { border: 0; color: var(--soft); font-size: 13px; font-weight: 500; }
tbody th, thead th:first-child { text-align: left; font-weight: 600; padding-left: 0; }
tbody th small { display: block; color: var(--soft); font-weight: 400;
  font-size: 13px; }
td:last-child { padding-right: 0; } tr.base { color: var(--soft); }
tr.base th { font-weight: 500; }
td small { display: block; color: var(--soft); font-size: 12px; }
.size { display: block; height: 4px; border-radius: 2px; background: var(--bar);
  margin: 4px 0 0 auto; }
.ship { display: flex; flex-wrap: wrap; align-items: center; gap: 18px 40px;
  margin-top: 28px; padding: 26px 28px; border-top: 4px solid var(--good); }
.ship h2 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
.hero { flex: 1 1 300px; min-width: 0; } .hero p { margin: 0 0 2px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px 34px; }
.tiles b { display: block; font-size: 28px; line-height: 1.2; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.tiles span { display: block; max-width: 230px; color: var(--soft); font-size: 13px; }
.uses { display: grid; gap: 4px 24px; margin-top: 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); }
.uses div { padding: 10px 4px; } .uses b { display: block; overflow-wrap: anywhere; }
.uses span { display: block; }
.caution { display: block; color: var(--second); font-size: 14px; margin-top: 4px;
  overflow-wrap: anywhere; }
.card > p:last-child { margin-bottom: 0; }
.soft.below { margin-top: 12px; }
.why { color: var(--bad); font-size: 14px; margin: 12px 0; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 13px; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
svg .s0 { stroke: var(--accent); } svg .s1 { stroke: var(--second); }
svg .dot.s0 { fill: var(--accent); } svg .dot.s1 { fill: var(--second); }
svg .front { fill: none; stroke: var(--good); stroke-width: 2; opacity: .5; }
svg .bar { stroke-width: 3; stroke-linecap: round; opacity: .55; }
svg .bar.fine { stroke: var(--good); } svg .bar.some { stroke: var(--second); }
svg .bar.much { stroke: var(--bad); }
svg .keras { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .leader { stroke: var(--soft); stroke-width: 1; opacity: .6; }
svg .bubble { stroke: var(--card); stroke-width: 2; }
svg .fine { fill: var(--good); } svg .some { fill: var(--second); }
svg .much { fill: var(--bad); }
svg .name { font-weight: 600; font-size: 14px; paint-order: stroke;
  stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.legend2 { margin: 6px 0 0; }
.legend2 i { display: inline-block; width: 10px; height: 10px; border-radius: 5px;
  margin: 0 6px 0 14px; }
.legend2 .fine { background: var(--good); }
.legend2 .some { background: var(--second); }
.legend2 .much { background: var(--bad); }
.legend { float: right; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px;
  margin: 0 5px 3px 12px; }
.legend .s0 { background: var(--accent); } .legend .s1 { background: var(--second); }
.gallery { display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 236px), 1fr)); }
figure { margin: 0; padding: 10px; }
figure.bad { border-color: var(--bad); }
.pair { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: 6px; }
.pair img { width: 100%; aspect-ratio: var(--shape); display: block; border-radius: 6px;
  object-fit: cover; background: var(--code); }
.pair img.pixels { image-rendering: pixelated; }
figcaption { font-size: 14px; padding: 9px 2px 1px; }
figcaption b { overflow-wrap: anywhere; } figcaption .soft { float: right; }
figcaption .true { display: block; float: none; color: var(--bad); }
figcaption .true.soft { color: var(--soft); }
.share { display: block; height: 4px; border-radius: 2px; background: var(--rule);
  margin-top: 6px; overflow: hidden; }
.share i { display: block; height: 100%; background: var(--accent); }
figure.bad .share i { background: var(--bad); }
dl { display: grid; grid-template-columns: auto 1fr; gap: 5px 18px; margin: 0;
  font-size: 15px; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
pre { background: var(--code); border: 1px solid var(--rule); border-radius: 8px;
  padding: 12px 14px; margin: 0; overflow-x: auto; font: 13px/1.55 ui-monospace,
  SFMono-Regular, Menlo, "Liberation Mono", monospace; }
.steps { display: grid; gap: 16px; } .steps > div { min-width: 0; }
@media (max-width: 720px) {
  main { padding: 24px 14px 48px; } h1 { font-size: 27px; }
  thead { display: none; } .files { padding: 0 16px; }
  tbody tr { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr));
    padding: 14px 0; border-top: 1px solid var(--rule); gap: 2px 18px; }
  tbody tr:first-child { border: 0; }
  tbody th, tbody td { border: 0; padding: 2px 0; text-align: left; }
  tbody th { grid-column: 1 / -1; }
  td[data-label] { display: flex; justify-content: space-between; font-size: 14px; }
  td[data-label]::before { content: attr(data-label); color: var(--soft); }
  td small { display: inline; margin-left: 8px; }
  td.score, td[data-label="Against Keras"] { grid-column: 1 / -1; }
  td:empty { display: none; } .size { display: none; }
  td:not([data-label]) { grid-column: 1 / -1; }
  svg text { font-size: 20px; }
  svg.pareto text, svg.bars text { font-size: 15px; }
  .wide { overflow-x: auto; } .wide svg { min-width: 620px; }
  .ship { padding: 20px 18px; } .ship h2 { font-size: 21px; }
  .tiles { gap: 10px 22px; } .tiles b { font-size: 23px; }
  .gallery { grid-template-columns: 1fr 1fr; gap: 10px; }
  .pair { grid-auto-flow: row; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""
