-- The first schema. A released file is never edited: TestReleasedSchemas pins
-- its hash. Times are nanoseconds since 1970 UTC unless the column says else;
-- money is whole picodollars, or (whole dollars, picodollars beyond) for sums.

-- What access keeps ------------------------------------------------------------
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE keys (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, prefix TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,
  customer TEXT NOT NULL DEFAULT '', feature TEXT NOT NULL DEFAULT '',
  admin INTEGER NOT NULL DEFAULT 0, log_content INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL, last_used INTEGER, revoked INTEGER);
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL,
  action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '');

-- Strings that repeat, each kept once. Id 0 is the empty string. -----------------
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
INSERT INTO names (id, text) VALUES (0, '');

-- Customers, with the key of their commitments and of their content. Erasing a
-- customer sets name and key to NULL; the id stays.
CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT UNIQUE, key BLOB);

-- The record ----------------------------------------------------------------------
CREATE TABLE epochs (id INTEGER PRIMARY KEY, started INTEGER NOT NULL, genesis BLOB NOT NULL);

CREATE TABLE calls (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL,            -- the 16 bytes of the UUID
  root BLOB, parent BLOB,      -- NULL root: the call is its own root
  time INTEGER NOT NULL,
  ttft INTEGER NOT NULL, tpot INTEGER NOT NULL, duration INTEGER NOT NULL, -- microseconds
  op INTEGER NOT NULL,         -- names.id
  outcome INTEGER NOT NULL, status INTEGER NOT NULL,
  flags INTEGER NOT NULL,      -- 1 stream, 2 overrun, 8 sample
  customer INTEGER NOT NULL,   -- tenants.id
  key INTEGER NOT NULL, feature INTEGER NOT NULL, model INTEGER NOT NULL, -- names.id, like the next ones
  served INTEGER NOT NULL, upstream INTEGER NOT NULL, provider INTEGER NOT NULL, code INTEGER NOT NULL,
  version INTEGER NOT NULL, source INTEGER NOT NULL, tariff INTEGER NOT NULL,
  error TEXT,
  cost INTEGER, charge INTEGER, -- as first settled; NULL is unknown
  usage BLOB,                  -- NULL is unknown
  body BLOB NOT NULL,          -- lines, versions, decisions and the rest, packed
  private BLOB,                -- end user and tags; NULL after erasure, or when there are none
  seal BLOB NOT NULL,          -- keyed commitment to customer, private and content
  corrected INTEGER);          -- the newest correction; NULL when there is none
CREATE UNIQUE INDEX calls_id ON calls (id);
CREATE INDEX calls_root ON calls (root) WHERE root IS NOT NULL;
CREATE INDEX calls_customer ON calls (customer);
CREATE INDEX calls_key ON calls (key);
CREATE INDEX calls_feature ON calls (feature);
CREATE INDEX calls_model ON calls (model);
CREATE INDEX calls_outcome ON calls (outcome) WHERE outcome <> 1;
CREATE INDEX calls_unknown ON calls (seq) WHERE cost IS NULL;
CREATE INDEX calls_sample ON calls (seq) WHERE flags & 8;
CREATE INDEX calls_corrected ON calls (seq) WHERE corrected IS NOT NULL;

CREATE TABLE content (seq INTEGER PRIMARY KEY, sealed BLOB NOT NULL); -- encrypted with the tenant's key

CREATE TABLE corrections (
  seq INTEGER PRIMARY KEY, call INTEGER NOT NULL, time INTEGER NOT NULL,
  cost INTEGER, charge INTEGER, body BLOB NOT NULL);
CREATE INDEX corrections_call ON corrections (call);

CREATE TABLE holds (id BLOB PRIMARY KEY, epoch INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

-- One link per commit batch: it covers the calls and corrections after the
-- previous link's, up to these.
CREATE TABLE links (
  id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,
  calls_to INTEGER NOT NULL, corrections_to INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE postings (
  link INTEGER NOT NULL, account INTEGER NOT NULL, usd INTEGER NOT NULL, pico INTEGER NOT NULL,
  PRIMARY KEY (link, account)) WITHOUT ROWID;

-- Projections: each can be rebuilt from the record ------------------------------------
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, ref INTEGER NOT NULL,
  usd INTEGER NOT NULL DEFAULT 0, pico INTEGER NOT NULL DEFAULT 0, UNIQUE (kind, ref));

CREATE TABLE budgets (
  num INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  key TEXT NOT NULL, customer TEXT NOT NULL,
  cap INTEGER NOT NULL, period TEXT NOT NULL, mode TEXT NOT NULL, created INTEGER NOT NULL,
  win INTEGER NOT NULL,        -- start of the current window; 0 for total
  anchor INTEGER NOT NULL,     -- how often an administrator has set it
  base_win INTEGER NOT NULL,   -- the window when it was set last
  base_usd INTEGER NOT NULL, base_pico INTEGER NOT NULL,   -- spent in base_win when it was set
  spent_usd INTEGER NOT NULL, spent_pico INTEGER NOT NULL, -- base included
  held_usd INTEGER NOT NULL, held_pico INTEGER NOT NULL);

CREATE TABLE hours ( -- which calls fall into an hour (hours since 1970 UTC)
  hour INTEGER NOT NULL, sample INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY (hour, sample)) WITHOUT ROWID;

CREATE TABLE rollups (
  hour INTEGER NOT NULL, sample INTEGER NOT NULL, customer INTEGER NOT NULL,
  key INTEGER NOT NULL, feature INTEGER NOT NULL, model INTEGER NOT NULL,
  calls INTEGER NOT NULL, errors INTEGER NOT NULL, unknown INTEGER NOT NULL,
  cost_usd INTEGER NOT NULL, cost_pico INTEGER NOT NULL,
  charge_usd INTEGER NOT NULL, charge_pico INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  -- the usage buckets in model.Bucket's order; u18 is in nanoseconds of audio
  u0 INTEGER NOT NULL, u1 INTEGER NOT NULL, u2 INTEGER NOT NULL, u3 INTEGER NOT NULL, u4 INTEGER NOT NULL,
  u5 INTEGER NOT NULL, u6 INTEGER NOT NULL, u7 INTEGER NOT NULL, u8 INTEGER NOT NULL, u9 INTEGER NOT NULL,
  u10 INTEGER NOT NULL, u11 INTEGER NOT NULL, u12 INTEGER NOT NULL, u13 INTEGER NOT NULL, u14 INTEGER NOT NULL,
  u15 INTEGER NOT NULL, u16 INTEGER NOT NULL, u17 INTEGER NOT NULL, u18 INTEGER NOT NULL, u19 INTEGER NOT NULL,
  ttft BLOB, duration BLOB,    -- histograms of calls with outcome ok
  PRIMARY KEY (hour, sample, customer, key, feature, model)) WITHOUT ROWID;
