// The wire types of /api/v1, as package admin writes them. Money is always a
// decimal string in USD; null is unknown and never the same as "0".

export type Amount = string;
export type Usage = Record<string, number | string>;

export interface Call {
  seq: number;
  id: string;
  parent?: string;
  root: string;
  time: string;
  key: string;
  customer: string;
  feature: string;
  end_user?: string;
  tags?: Record<string, string>;
  op: string;
  model: string;
  served_model: string;
  upstream: string;
  stream: boolean;
  outcome: string;
  status: number;
  error_code?: string;
  error_text?: string;
  usage: Usage | null;
  estimated: boolean;
  estimated_buckets?: string[];
  cost_usd: Amount | null;
  charge_usd: Amount | null;
  margin_usd: Amount | null;
  ttft_ms: number | null;
  tpot_ms: number | null;
  duration_ms: number;
  overrun?: boolean;
  sample?: boolean;
}

export interface Line {
  item: string;
  quantity: string;
  unit_price_usd: string;
  amount_usd: string;
  exact_usd?: string;
}

export interface Decision {
  by: string;
  what: string;
  detail: string;
}

export interface CallCorrection {
  time: string;
  cost_usd: Amount | null;
  charge_usd: Amount | null;
  price_version: string;
  reason: string;
}

export interface CallDetail extends Call {
  cost_lines: Line[] | null;
  charge_lines: Line[] | null;
  unpriced?: string[];
  price_version: string;
  price_source: string;
  tariff: string;
  held_usd: Amount | null;
  flags?: string[];
  decisions?: Decision[];
  output_sha256?: string;
  children?: Call[];
  corrections?: CallCorrection[];
  content_logged: boolean;
  request?: string;
  reply?: string;
}

export interface Spend {
  group: string;
  calls: number;
  errors: number;
  unknown_cost_calls: number;
  cost_usd: Amount;
  charge_usd: Amount;
  margin_usd: Amount;
  usage: Usage | null;
}

export interface CallsReply {
  calls: Call[] | null;
  next: string;
  totals: Spend | null;
}

export interface SpendReply {
  by: string;
  time_zone: string;
  groups: Spend[] | null;
  totals: Spend;
}

export interface Point {
  start: string;
  calls: number;
  errors: number;
  unknown_cost_calls: number;
  cost_usd: Amount | null;
  charge_usd: Amount | null;
  margin_usd: Amount | null;
  input_tokens: number;
  output_tokens: number;
  ttft_p50_ms: number | null;
  ttft_p95_ms: number | null;
  duration_p50_ms: number | null;
  duration_p95_ms: number | null;
}

export interface SeriesReply {
  step: string;
  time_zone: string;
  points: Point[] | null;
}

export interface Latency {
  metric: string;
  time_zone: string;
  starts: string[] | null;
  step_ms: number;
  bounds_ms: number[];
  counts: number[][] | null;
}

export interface EngineStatus {
  state: string;
  model: string;
  detail: string;
  fetched_bytes?: number;
  total_bytes?: number;
  tokens_per_second: number | null;
}

export interface Upstream {
  name: string;
  module: string;
  base_url: string;
  key_from: string;
}

export interface Status {
  version: string;
  commit: string;
  started: string;
  now: string;
  address: string;
  time_zone: string;
  data_dir: string;
  config: string;
  open_loopback: boolean;
  engine: EngineStatus;
  upstreams: Upstream[] | null;
  models: number;
  calls: number;
  sample_calls: number;
  price_date: string;
  price_models: number;
}

export interface Price {
  provider: string;
  model: string;
  mode: string;
  per_million: Record<string, string> | null;
  per_unit: Record<string, string> | null;
  card: unknown;
  effective: string;
  until: string;
  source: string;
  origin: string;
  max_input_tokens: number;
  max_output_tokens: number;
}

export interface PricesReply {
  prices: Price[] | null;
  total: number;
  date: string;
  credit: string;
  providers?: string[];
}

export interface PriceReply {
  price: Price;
  history: Price[] | null;
}

export interface Model {
  name: string;
  upstream: string;
  module: string;
  ops: string[] | null;
  ready: boolean;
  priced: boolean;
  price: Price | null;
  max_input_tokens: number;
  max_output_tokens: number;
}

export interface Key {
  id: string;
  name: string;
  prefix: string;
  customer: string;
  feature?: string;
  admin: boolean;
  log_content: boolean;
  created: string;
  last_used: string | null;
  revoked: string | null;
}

export interface NewKey extends Key {
  key: string;
}

export interface Budget {
  id: string;
  key?: string;
  customer?: string;
  limit_usd: Amount;
  period: string;
  mode: string;
  spent_usd: Amount;
  held_usd: Amount;
  remaining_usd: Amount;
  window_start: string | null;
  window_end: string | null;
}

export interface Verification {
  ok: boolean;
  calls: number;
  postings: number;
  postings_sum: Amount;
  head: string;
  open_holds: number;
  errors: string[] | null;
}

export interface Session {
  authenticated: boolean;
  role: string;
  key?: string;
  customer?: string;
  csrf: string;
}
