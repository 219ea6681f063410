document.querySelectorAll("table.board").forEach(one => new DataTable(one, {paging: false, order: [], info: false,
  language: {search: "filter "}}));
const draw = id => { const all = JSON.parse(document.getElementById(id + "-data").textContent);
  const picked = document.querySelector(`select[data-for=${id}]`).value;
  const narrow = innerWidth < 700, layout = structuredClone(all[picked].layout);
  if (narrow) layout.legend = {orientation: "h", y: -0.25, font: {size: 10}};
  Plotly.react(id, all[picked].data, layout, {responsive: true, displayModeBar: false}); };
const seen = new IntersectionObserver(found => found.forEach(one => { if (one.isIntersecting) { draw(one.target.id);
  seen.unobserve(one.target); } }), {rootMargin: "400px"});
document.querySelectorAll(".plot").forEach(one => seen.observe(one));
document.querySelectorAll("select.pick").forEach(one => one.addEventListener("change", () => draw(one.dataset.for)));
const cell = (row, text, kind) => { const made = document.createElement(kind || "td"); made.textContent = text; row.append(made);
  if (kind) made.scope = kind === "th" && row.children.length === 1 ? "row" : "col"; };
document.querySelectorAll(".compare").forEach(one => { const data = JSON.parse(document.getElementById(one.dataset.for).textContent);
  const [a, b] = one.querySelectorAll("select"), out = one.querySelector(".out");
  const tell = () => { const [i, j] = [+a.value, +b.value]; out.replaceChildren(); if (i === j) { out.textContent = "Choose two."; return; }
    const found = data.pairs[i < j ? `${i},${j}` : `${j},${i}`], sign = i < j ? 1 : -1, won = [[], []];
    const table = document.createElement("table"), head = table.createTHead().insertRow();
    ["score", data.systems[i], data.systems[j], "B - A", "95 % interval", "better"].forEach(text => { const th =
      document.createElement("th"); th.scope = "col"; th.textContent = text; head.append(th); });
    const body = table.createTBody();
    found.forEach((line, k) => { const row = body.insertRow(); cell(row, data.heads[k], "th");
      cell(row, data.values[i][k]); cell(row, data.values[j][k]);
      if (!line) { cell(row, "–"); cell(row, "other utterances"); cell(row, "–"); return; }
      let [gap, low, high] = line.map(x => sign * x); if (sign < 0) [low, high] = [high, low];
      const up = data.ups[k] ? 1 : -1, apart = low > 0 || high < 0, side = up * gap > 0 ? 1 : 0;
      if (apart) won[side].push(data.heads[k]);
      cell(row, (gap > 0 ? "+" : "") + gap); cell(row, `[${low}, ${high}]`);
      cell(row, apart ? data.systems[side ? j : i] : "cannot tell"); });
    const wide = document.createElement("div"); wide.className = "wide"; wide.tabIndex = 0; wide.setAttribute("role", "region");
    wide.setAttribute("aria-label", "paired differences, " + one.dataset.for); wide.append(table);
    const said = document.createElement("p"); const best = won[0].length && won[1].length ? "" : won[0].length ? data.systems[i] :
      won[1].length ? data.systems[j] : "";
    said.textContent = best ? `${best} is the better system here: better in ${won[0].concat(won[1]).length} of ${found.length}
 scores, worse in none.` : won[0].length ? `${data.systems[i]} is better in ${won[0].length} scores, ${data.systems[j]} in ${won[1].length}.`
      : "Neither is shown to be better.";
    out.append(said, wide); };
  a.addEventListener("change", tell); b.addEventListener("change", tell); tell(); });
document.querySelectorAll("audio").forEach((one, _, all) => one.addEventListener("play", () => all.forEach(other => other !== one &&
  other.pause())));
