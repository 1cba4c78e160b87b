// What `muster` says about itself, without a controller.
import { completionScript, shells } from '../help/completion.ts';
import { UsageError, type Command } from '../command.ts';
import { manualPage } from '../help/manual.ts';
import { printJson } from '../print/print.ts';
import manifest from '../../package.json' with { type: 'json' };

const { version } = manifest;

export const programCommands: Command[] = [
  {
    words: ['completion'],
    usage: shells.join('|'),
    summary: 'print what completes commands and options in a shell',
    details: `Load it where the shell starts:
bash, in ~/.bashrc: source <(muster completion bash)
zsh, in ~/.zshrc after compinit: source <(muster completion zsh)
fish: muster completion fish > ~/.config/fish/completions/muster.fish`,
    takes: [1, 1],
    run: async ({ output, commands }, call) => {
      const [text] = call.positionals;
      const shell = shells.find((each) => each === text);
      if (shell === undefined)
        throw new UsageError(`cannot complete in ${JSON.stringify(text)}, want ${shells.join(', ')}`);
      output.out(completionScript(shell, await commands()));
    },
  },
  {
    words: ['man'],
    usage: '',
    summary: 'print the man page',
    details: `To read it: muster man | man -l -
To keep it: muster man > /usr/local/share/man/man1/muster.1`,
    run: async ({ output, commands }) => output.out(manualPage(await commands(), version)),
  },
  {
    words: ['version'],
    usage: '',
    summary: 'print the version',
    run: (context) => {
      if (context.json) printJson(context, { version });
      else context.output.out(`muster ${version}\n`);
      return Promise.resolve();
    },
  },
];
