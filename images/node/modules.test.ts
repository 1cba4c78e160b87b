import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moduleClosure, moduleName, parseModuleIndex } from './modules.ts';

const index = parseModuleIndex({
  dep: [
    'kernel/net/phy/realtek.ko.xz: kernel/net/phy/libphy.ko.xz',
    'kernel/net/phy/libphy.ko.xz:',
    'kernel/drivers/dwmac-meson8b.ko.xz: kernel/drivers/stmmac-platform.ko.xz kernel/drivers/stmmac.ko.xz',
    'kernel/drivers/stmmac-platform.ko.xz: kernel/drivers/stmmac.ko.xz',
    'kernel/drivers/stmmac.ko.xz: kernel/net/phy/libphy.ko.xz',
    'kernel/fs/ext4.ko.xz:',
    'kernel/crypto/crc32c_generic.ko.xz:',
    '',
  ].join('\n'),
  softdep: '# comment\nsoftdep ext4 pre: crc32c-generic crypto-absent\n',
  builtin: 'kernel/net/packet/af_packet.ko\n',
});

test('moduleName() drops the folder and the compression and makes one name of - and _', () => {
  assert.equal(moduleName('kernel/drivers/dwmac-meson8b.ko.xz'), 'dwmac_meson8b');
  assert.equal(moduleName('loop'), 'loop');
});

test('moduleClosure() follows dependencies, and soft ones that exist', () => {
  assert.deepEqual(moduleClosure(index, ['dwmac_meson8b']), [
    'kernel/drivers/dwmac-meson8b.ko.xz',
    'kernel/drivers/stmmac-platform.ko.xz',
    'kernel/drivers/stmmac.ko.xz',
    'kernel/net/phy/libphy.ko.xz',
  ]);
  assert.deepEqual(moduleClosure(index, ['ext4']), ['kernel/crypto/crc32c_generic.ko.xz', 'kernel/fs/ext4.ko.xz']);
});

test('moduleClosure() needs no file for what is built in and names everything it misses', () => {
  assert.deepEqual(moduleClosure(index, ['af_packet']), []);
  assert.throws(() => moduleClosure(index, ['ext4', 'nope', 'nada']), /cannot find kernel modules nope, nada$/);
});
