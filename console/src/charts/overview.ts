// The pictures of the overview. A step without calls has no amounts: it is a
// gap. A step whose sum is zero is drawn as a hairline, so the two differ.
import type { EChartsCoreOption } from 'echarts/core';
import { t } from '../i18n';
import { count, dateShort, dayMonth, hourMinute, money, ms } from '../lib/format';
import { axis, cmp, isNegative, isZero, sub, sum, toNumber, toPico } from '../lib/money';
import type { Latency, Point, Spend, SpendReply } from '../lib/types';
import { timeAxis, valueAxis, type Palette } from './theme';

function labels(points: Point[], hourly: boolean): string[] {
  return points.map((p) => (hourly ? `${dayMonth(p.start)} ${hourMinute(p.start)}` : dayMonth(p.start)));
}

function head(p: Point, hourly: boolean): string {
  return hourly ? `${dayMonth(p.start)} ${hourMinute(p.start)}` : dateShort(p.start);
}

/** A tooltip of lines from the step under the pointer. */
function tip(points: Point[], hourly: boolean, lines: (p: Point) => string[]) {
  return {
    formatter: (params: { dataIndex: number }[]) => {
      const p = points[params[0]?.dataIndex ?? -1];
      if (!p) return '';
      return [head(p, hourly), ...(p.calls === 0 ? [t('app.no_data')] : lines(p))].join('\n');
    },
  };
}

const usd = (n: number) => `$${axis(n)}`;

export function moneyChart(c: Palette, points: Point[], hourly: boolean): EChartsCoreOption {
  const bar = (name: string, color: string, pick: (p: Point) => string | null) => ({
    name,
    type: 'bar',
    data: points.map((p) => (p.calls === 0 ? null : toNumber(pick(p)))),
    itemStyle: { color, borderRadius: [2, 2, 0, 0] },
    barMaxWidth: 22,
    barMinHeight: 1,
    barGap: '8%',
  });
  return {
    xAxis: timeAxis(c, labels(points, hourly)),
    yAxis: valueAxis(c, usd),
    tooltip: tip(points, hourly, (p) => [
      `${t('overview.cost')}  ${money(p.cost_usd)}`,
      `${t('overview.charged')}  ${money(p.charge_usd)}`,
      `${t('overview.margin')}  ${money(p.margin_usd)}`,
      ...(p.unknown_cost_calls ? [t('calls.n_unknown', { n: count(p.unknown_cost_calls) })] : []),
    ]),
    series: [
      bar(t('overview.cost'), c.cost, (p) => p.cost_usd),
      bar(t('overview.charged'), c.charge, (p) => p.charge_usd),
      {
        name: t('overview.margin'),
        type: 'line',
        data: points.map((p) => (p.calls === 0 ? null : toNumber(p.margin_usd))),
        connectNulls: false,
        symbol: 'circle',
        symbolSize: points.length > 40 ? 0 : 5,
        showAllSymbol: true,
        sampling: 'lttb',
        lineStyle: { color: c.margin, width: 2 },
        itemStyle: { color: c.margin },
      },
    ],
  };
}

export function callsChart(c: Palette, points: Point[], hourly: boolean): EChartsCoreOption {
  const bar = (name: string, color: string, pick: (p: Point) => number) => ({
    name,
    type: 'bar',
    stack: 'calls',
    data: points.map((p) => (p.calls === 0 ? null : pick(p))),
    itemStyle: { color },
    barMaxWidth: 26,
  });
  return {
    xAxis: timeAxis(c, labels(points, hourly)),
    yAxis: valueAxis(c, axis, { minInterval: 1 }),
    tooltip: tip(points, hourly, (p) => [`${t('overview.answered')}  ${count(p.calls - p.errors)}`, `${t('overview.failed')}  ${count(p.errors)}`]),
    series: [bar(t('overview.answered'), c.ok, (p) => p.calls - p.errors), bar(t('overview.failed'), c.bad, (p) => p.errors)],
  };
}

export function tokensChart(c: Palette, points: Point[], hourly: boolean): EChartsCoreOption {
  const bar = (name: string, color: string, pick: (p: Point) => number) => ({
    name,
    type: 'bar',
    stack: 'tokens',
    data: points.map((p) => (p.calls === 0 ? null : pick(p))),
    itemStyle: { color },
    barMaxWidth: 26,
  });
  return {
    xAxis: timeAxis(c, labels(points, hourly)),
    yAxis: valueAxis(c, axis, { minInterval: 1 }),
    tooltip: tip(points, hourly, (p) => [`${t('overview.input')}  ${count(p.input_tokens)}`, `${t('overview.output')}  ${count(p.output_tokens)}`]),
    series: [bar(t('overview.input'), c.input, (p) => p.input_tokens), bar(t('overview.output'), c.output, (p) => p.output_tokens)],
  };
}

export function latencyChart(c: Palette, points: Point[], hourly: boolean, metric: 'ttft' | 'duration'): EChartsCoreOption {
  const p50 = points.map((p) => (metric === 'ttft' ? p.ttft_p50_ms : p.duration_p50_ms));
  const p95 = points.map((p) => (metric === 'ttft' ? p.ttft_p95_ms : p.duration_p95_ms));
  const line = { type: 'line', connectNulls: false, sampling: 'lttb', symbol: 'circle', symbolSize: points.length > 40 ? 0 : 4, showAllSymbol: true };
  return {
    xAxis: { ...timeAxis(c, labels(points, hourly)), boundaryGap: false },
    yAxis: valueAxis(c, (n) => ms(n)),
    grid: { right: 18 },
    tooltip: tip(points, hourly, (p) => {
      const v = metric === 'ttft' ? [p.ttft_p50_ms, p.ttft_p95_ms] : [p.duration_p50_ms, p.duration_p95_ms];
      return v[0] == null ? [t('app.no_data')] : [`${t('overview.p50')}  ${ms(v[0])}`, `${t('overview.p95')}  ${ms(v[1])}`];
    }),
    series: [
      { ...line, name: t('overview.p95'), data: p95, lineStyle: { color: c.cost, width: 1.2 }, itemStyle: { color: c.cost }, areaStyle: { color: c.cost, opacity: 0.1 } },
      { ...line, name: t('overview.p50'), data: p50, lineStyle: { color: c.charge, width: 2 }, itemStyle: { color: c.charge } },
    ],
  };
}

/** Joins steps, so that no more columns are drawn than can be told apart. */
function coarser(l: Latency, most: number): Latency {
  const starts = l.starts ?? [];
  const counts = l.counts ?? [];
  const least = Math.ceil(starts.length / most);
  const by = [1, 2, 3, 4, 6, 8, 12, 24].find((n) => n >= least) ?? least;
  const joined: Latency = { ...l, step_ms: l.step_ms * by, starts: [], counts: [] };
  for (let i = 0; i < starts.length; i += by) {
    joined.starts!.push(starts[i]!);
    const part = counts.slice(i, i + by);
    joined.counts!.push(Array.from({ length: l.bounds_ms.length + 1 }, (_, r) => part.reduce((n, s) => n + (s[r] ?? 0), 0)));
  }
  return joined;
}

export function heatChart(c: Palette, fine: Latency, narrow: boolean): EChartsCoreOption {
  const l = coarser(fine, narrow ? 21 : 42);
  const starts = l.starts ?? [];
  const counts = l.counts ?? [];
  // Rows that no call reached, at both ends, are left out.
  const rows = l.bounds_ms.length + 1;
  const filled = Array.from({ length: rows }, (_, r) => counts.some((s) => (s[r] ?? 0) > 0));
  const first = Math.max(0, filled.indexOf(true));
  const last = filled.lastIndexOf(true);
  const rowLabels: string[] = [];
  for (let r = first; r <= last; r++) rowLabels.push(r < l.bounds_ms.length ? `≤ ${ms(l.bounds_ms[r])}` : `> ${ms(l.bounds_ms[rows - 2])}`);
  const data: [number, number, number, number][] = [];
  counts.forEach((s, x) => {
    for (let r = first; r <= last; r++) {
      const n = s[r] ?? 0;
      if (n > 0) data.push([x, r - first, Math.log1p(n), n]);
    }
  });
  const most = Math.max(...data.map((d) => d[2]), Math.log1p(4));
  const daily = l.step_ms >= 86_400_000;
  const label = (s: string) => (daily ? dayMonth(s) : `${dayMonth(s)} ${hourMinute(s)}`);
  const time = timeAxis(c, starts.map(label));
  return {
    legend: { show: false },
    grid: { left: 4, right: 8, top: 10, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    // Labels are wider than the narrow columns: the last one would be cut at the edge.
    xAxis: { ...time, axisLine: { show: false }, axisLabel: { ...(time.axisLabel as EChartsCoreOption), alignMaxLabel: 'right' } },
    yAxis: { type: 'category', data: rowLabels, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: c.ink3, fontSize: 11, interval: 'auto' } },
    visualMap: { show: false, type: 'continuous', dimension: 2, min: 0, max: most, inRange: { color: c.heat } },
    tooltip: {
      trigger: 'item',
      formatter: (p: { data: [number, number, number, number] }) => `${label(starts[p.data[0]]!)}\n${rowLabels[p.data[1]]}\n${t('calls.n_other', { n: count(p.data[3]) })}`,
    },
    series: [{ type: 'heatmap', data, itemStyle: { borderColor: c.surface, borderWidth: 1.5, borderRadius: 2 }, emphasis: { itemStyle: { borderColor: c.ink } }, progressive: 0 }],
  };
}

/** The largest groups by an amount, and the rest as one. */
function largest(groups: Spend[], pick: (s: Spend) => string, n: number): { name: string; amount: string }[] {
  const all = groups
    .map((g) => ({ name: g.group || t('overview.unnamed'), amount: pick(g) }))
    .filter((g) => toPico(g.amount) > 0n)
    .sort((a, b) => cmp(b.amount, a.amount));
  const rest = sum(all.slice(n).map((g) => g.amount));
  const top = all.slice(0, n);
  if (!isZero(rest)) top.push({ name: t('overview.flow_others'), amount: rest });
  return top;
}

export function flowChart(c: Palette, customers: SpendReply, models: SpendReply, narrow: boolean): EChartsCoreOption {
  const from = largest(customers.groups ?? [], (g) => g.charge_usd, narrow ? 4 : 6);
  const to = largest(models.groups ?? [], (g) => g.cost_usd, narrow ? 4 : 6);
  const charged = sum(from.map((g) => g.amount));
  const cost = sum(to.map((g) => g.amount));
  const margin = sub(charged, cost);
  interface Node {
    name: string;
    depth: number;
    amount: string;
    title: string;
    itemStyle: { color: string };
    label?: object;
  }
  const nodes: Node[] = [];
  const links: { source: string; target: string; value: number; lineStyle: { color: string } }[] = [];
  const colour = (i: number) => c.layers[i % c.layers.length]!;
  const node = (id: string, title: string, depth: number, amount: string, color: string) => nodes.push({ name: id, title, depth, amount, itemStyle: { color }, label: depth === 1 ? { position: 'top' } : { position: depth === 0 ? 'left' : 'right' } });
  node('hub', isZero(charged) ? t('overview.cost') : t('overview.flow_charge'), 1, isNegative(margin) ? cost : charged, c.charge);
  for (const [i, g] of from.entries()) {
    node(`c:${g.name}`, g.name, 0, g.amount, colour(i));
    links.push({ source: `c:${g.name}`, target: 'hub', value: Number(g.amount), lineStyle: { color: colour(i) } });
  }
  if (isNegative(margin)) {
    const loss = sub('0', margin);
    node('loss', t('overview.flow_loss'), 0, loss, c.bad);
    links.push({ source: 'loss', target: 'hub', value: Number(loss), lineStyle: { color: c.bad } });
  }
  for (const g of to) {
    node(`m:${g.name}`, g.name, 2, g.amount, c.cost);
    links.push({ source: 'hub', target: `m:${g.name}`, value: Number(g.amount), lineStyle: { color: c.cost } });
  }
  if (!isNegative(margin) && !isZero(margin)) {
    node('margin', t('overview.flow_margin'), 2, margin, c.margin);
    links.push({ source: 'hub', target: 'margin', value: Number(margin), lineStyle: { color: c.margin } });
  }
  const byName = new Map(nodes.map((n) => [n.name, n]));
  return {
    legend: { show: false },
    tooltip: {
      trigger: 'item',
      formatter: (p: { dataType: string; name: string; data: { source?: string; target?: string; value?: number } }) => {
        if (p.dataType === 'edge') {
          const other = byName.get(p.data.source === 'hub' ? p.data.target! : p.data.source!)!;
          return `${other.title}\n${money(other.amount)}`;
        }
        const n = byName.get(p.name)!;
        return `${n.title}\n${money(n.amount)}`;
      },
    },
    series: [
      {
        type: 'sankey',
        // Names stand outside the flow, where no edge crosses them.
        left: narrow ? 104 : 190,
        right: narrow ? 112 : 220,
        top: 26,
        bottom: 10,
        nodeWidth: narrow ? 6 : 10,
        nodeGap: narrow ? 30 : 20,
        layoutIterations: 0,
        draggable: false,
        data: nodes,
        links,
        lineStyle: { opacity: 0.28, curveness: 0.5 },
        emphasis: { focus: 'adjacency', lineStyle: { opacity: 0.5 } },
        label: {
          color: c.ink,
          fontSize: narrow ? 11 : 12,
          lineHeight: narrow ? 13 : 16,
          formatter: (p: { name: string }) => {
            const n = byName.get(p.name)!;
            const most = narrow ? 15 : 24;
            const name = n.title.length > most ? `${n.title.slice(0, most - 1)}…` : n.title;
            return `${name}${narrow && n.depth !== 1 ? '\n' : '  '}{a|${money(n.amount)}}`;
          },
          rich: { a: { color: c.ink3, fontSize: 11 } },
        },
      },
    ],
  };
}
