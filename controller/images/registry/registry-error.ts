// Refusals of the registry, as the OCI distribution-spec has them: a code of its table, and one sentence.

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes */
export type RegistryCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS';

export class RegistryError extends Error {
  readonly status: number;
  readonly code: RegistryCode;
  readonly headers: Readonly<Record<string, string>>;
  // oxlint-disable-next-line max-params -- as of an error: what it is, what it says, and what some add
  constructor(
    [status, code]: readonly [status: number, code: RegistryCode],
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export function errorBody(code: RegistryCode, message: string): string {
  return JSON.stringify({ errors: [{ code, message, detail: null }] });
}
