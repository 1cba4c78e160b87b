import assert from 'node:assert/strict';
import { test } from 'node:test';
import { musterWords, parseControllerKeys, parseEndpoint } from './cmdline.ts';

const fp = 'a'.repeat(64);
const token = 'b'.repeat(64);

test('a node finds its controller among the other words of the kernel', () => {
  const words = musterWords(
    `console=ttyAMA0 muster.http=http://10.77.0.1:8480 muster.api=10.77.0.1:8443 muster.udp=10.77.0.1:5670 muster.fp=${fp.toUpperCase()} muster.token=${token} muster.ssh=AAAA== panic=-1\n`,
  );
  assert.deepEqual(parseControllerKeys(words), {
    api: { host: '10.77.0.1', port: 8443 },
    udp: { host: '10.77.0.1', port: 5670 },
    fingerprint: fp,
    token,
  });
  assert.equal(words.get('ssh'), 'AAAA==');
});

test('a missing token is a node that only continues a session', () => {
  const keys = parseControllerKeys(musterWords(`muster.api=10.0.0.1:1 muster.udp=10.0.0.1:2 muster.fp=${fp}`));
  assert.equal(keys.token, undefined);
});

test('every key that is missing or wrong is named at once', () => {
  assert.throws(() => parseControllerKeys(musterWords('muster.api=10.77.0.1 muster.fp=zz muster.token=1')), {
    message:
      'cannot read the kernel\'s command line: muster.api is "10.77.0.1", want address:port; muster.udp is missing, want address:port; ' +
      'muster.fp is "zz", want 64 hex digits; muster.token is "1", want 64 hex digits',
  });
});

test('endpoints are IPv4 addresses with a port', () => {
  assert.deepEqual(parseEndpoint('10.77.0.1:8443'), { host: '10.77.0.1', port: 8443 });
  for (const wrong of [
    '',
    '10.77.0.1',
    '10.77.0.256:1',
    '10.77.0.1:0',
    '10.77.0.1:65536',
    'rack:1',
    '[::1]:1',
    '1.2.3:4',
  ])
    assert.equal(parseEndpoint(wrong), undefined, wrong);
});
