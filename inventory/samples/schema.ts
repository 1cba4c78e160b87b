// The tables of events, samples and log lines, and the version of their schema.
export const schemaVersion = 1;
export const schema = `
  CREATE TABLE events (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, message TEXT NOT NULL);
  CREATE INDEX events_subject ON events (subject, id);
  CREATE TABLE samples (mac TEXT PRIMARY KEY, at INTEGER NOT NULL, sample TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE logs (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, customer TEXT NOT NULL, workload TEXT NOT NULL,
    instance TEXT NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL);
  CREATE INDEX logs_workload ON logs (customer, workload, id);
  CREATE INDEX logs_instance ON logs (instance, id);
`;
