// Colours of charts in both themes, the same as in app.css, and what every
// chart shares.
import type { EChartsCoreOption } from 'echarts/core';

export interface Palette {
  ink: string;
  ink2: string;
  ink3: string;
  line: string;
  surface: string;
  cost: string;
  charge: string;
  margin: string;
  bad: string;
  input: string;
  output: string;
  ok: string;
  heat: string[];
  /** For nodes that have no meaning of their own. */
  layers: string[];
}

const light: Palette = {
  ink: '#1d2423',
  ink2: '#56605e',
  ink3: '#6d7775',
  line: '#e2ddd1',
  surface: '#fffefb',
  cost: '#c47a34',
  charge: '#1a7480',
  margin: '#7f9c4c',
  bad: '#b8463c',
  input: '#7d93a8',
  output: '#1a7480',
  ok: '#8fb0ae',
  heat: ['#e8efe9', '#b9d3cf', '#7fb2b3', '#3f8890', '#12515b'],
  layers: ['#c47a34', '#a9895c', '#7f9c4c', '#5d8f83', '#1a7480', '#5a7591', '#8c7396'],
};

const dark: Palette = {
  ink: '#e6e9e4',
  ink2: '#a5b0ad',
  ink3: '#8a9693',
  line: '#273034',
  surface: '#171d20',
  cost: '#e0a458',
  charge: '#63b9c4',
  margin: '#a3c46c',
  bad: '#e07b70',
  input: '#7d90a3',
  output: '#63b9c4',
  ok: '#4f7678',
  heat: ['#1d2b2e', '#23474c', '#2f6d75', '#4b9aa4', '#9bdae0'],
  layers: ['#e0a458', '#b99c70', '#a3c46c', '#6fae9f', '#63b9c4', '#7f9dbd', '#b095bd'],
};

export function palette(isDark: boolean): Palette {
  return isDark ? dark : light;
}

/** Names a face for Chinese, else canvas may choose Japanese shapes. */
const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'WenQuanYi Micro Hei', sans-serif";

/** What every chart shares; the tooltip is drawn on the canvas, so no inline style is needed. */
export function base(p: Palette): EChartsCoreOption {
  return {
    animationDuration: 250,
    animationDurationUpdate: 200,
    textStyle: { fontFamily: font, color: p.ink2, fontSize: 12 },
    aria: { enabled: true },
    grid: { left: 4, right: 12, top: 34, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: { top: 0, left: 0, icon: 'roundRect', itemWidth: 10, itemHeight: 10, itemGap: 14, textStyle: { color: p.ink2, fontSize: 12 }, inactiveColor: p.line },
    tooltip: {
      renderMode: 'richText',
      trigger: 'axis',
      confine: true,
      backgroundColor: p.surface,
      borderColor: p.line,
      padding: [8, 12],
      textStyle: { color: p.ink, fontSize: 12, lineHeight: 18, fontFamily: font },
      axisPointer: { type: 'line', lineStyle: { color: p.ink3, type: 'dashed' } },
    },
  };
}

/** A category axis of steps in time. */
export function timeAxis(p: Palette, labels: string[]): EChartsCoreOption {
  return {
    type: 'category',
    data: labels,
    axisTick: { show: false },
    axisLine: { lineStyle: { color: p.line } },
    axisLabel: { color: p.ink3, fontSize: 11, hideOverlap: true, margin: 10 },
  };
}

export function valueAxis(p: Palette, format: (n: number) => string, more: EChartsCoreOption = {}): EChartsCoreOption {
  return {
    type: 'value',
    splitNumber: 4,
    axisLabel: { color: p.ink3, fontSize: 11, formatter: format },
    splitLine: { lineStyle: { color: p.line, width: 1 } },
    ...more,
  };
}
