// Completion for shells, from the declarations of the commands: what may come next, and which options there are. The scripts
// ask no controller and start no program: names of nodes and customers are not completed.
import { globalOptions, usageOf, type Command, type Option } from '../command.ts';
import { others } from './help.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A word that may be typed, and what it is for. */
interface Choice {
  word: string;
  help: string;
}

interface Place {
  /** The words before, without options. */
  after: string;
  choices: Choice[];
  /** Also when more than these words were typed: what may be given in any order. */
  isOpen: boolean;
}

/** Of an option's value or a positional: words to choose from, a file, or anything. */
type Value = { choices: string[] } | 'file' | 'any';

export function completionScript(shell: Shell, commands: readonly Command[]): string {
  const model = modelOf(commands);
  return shell === 'bash' ? bash(model) : shell === 'zsh' ? zsh(model) : fish(model);
}

interface Model {
  places: Place[];
  /** Words after which a file is wanted. */
  files: string[];
  /** By command, the longest words first: its own options. */
  options: { after: string; own: [string, Option][] }[];
  /** All options that want a value, by what they want. */
  valued: Map<string, Value>;
}

function modelOf(commands: readonly Command[]): Model {
  const first = new Map<string, string>();
  for (const command of commands) {
    const [word = ''] = command.words;
    const isWhole = command.words.length === 1;
    if (isWhole || !first.has(word)) first.set(word, isWhole ? command.summary : `${word} …`);
  }
  const places: Place[] = [
    {
      after: '',
      choices: [
        ...[...first].map(([word, help]) => ({ word, help })),
        ...others.map(([usage, help]) => ({ word: usage.split(' ')[0] ?? '', help })),
      ],
      isOpen: false,
    },
    {
      after: 'help',
      choices: [...first].map(([word, help]) => ({ word, help })),
      isOpen: false,
    },
  ];
  for (const group of first.keys()) {
    const choices = commands.flatMap(({ words: [own, word], summary }) =>
      own === group && word !== undefined ? [{ word, help: summary }] : [],
    );
    if (choices.length > 0) places.push({ after: group, choices, isOpen: false });
  }
  const files: string[] = [];
  for (const command of commands) {
    const after = command.words.join(' ');
    for (const part of command.usage.split(' ')) {
      const value = valueOf(part.replace(/^\[|\]$/g, ''));
      if (value === 'file') files.push(after);
      else if (value !== 'any')
        places.push({ after, choices: value.choices.map((word) => ({ word, help: usageOf(command) })), isOpen: true });
    }
  }
  const options = commands
    .map(({ words, options: own = {} }) => ({ after: words.join(' '), own: Object.entries(own) }))
    .toSorted((a, b) => b.after.length - a.after.length);
  const valued = new Map<string, Value>();
  for (const [name, option] of [...Object.entries<Option>(globalOptions), ...options.flatMap(({ own }) => own)])
    if (option.type === 'string') valued.set(`--${name}`, valueOf(option.value ?? ''));
  return { places, files, options, valued };
}

function valueOf(text: string): Value {
  if (/^(FILE|DIR|DIRECTORY)(\||$)/.test(text)) return 'file';
  return /^[a-z]+(\|[a-z]+)+$/.test(text) ? { choices: text.split('|') } : 'any';
}

/** With `--no-` where the help tells of it. */
function spelled(options: readonly [string, Option][]): Choice[] {
  return options.flatMap(([name, { help }]) => [
    { word: `--${name}`, help },
    ...(help.includes(`--no-${name}`) ? [{ word: `--no-${name}`, help: `not: ${help}` }] : []),
  ]);
}

const globals = Object.entries<Option>(globalOptions);

/** In single quotes, for any of the shells. */
function quoted(text: string, shell: Shell): string {
  return shell === 'fish' ? `'${text.replace(/[\\']/g, '\\$&')}'` : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function wordsOf(choices: readonly Choice[]): string {
  return choices.map(({ word }) => word).join(' ');
}

function valueCases({ valued }: Model): { choices: [string, string[]][]; files: string[]; any: string[] } {
  const entries = [...valued];
  return {
    choices: entries.flatMap(([name, value]): [string, string[]][] =>
      typeof value === 'object' ? [[name, value.choices]] : [],
    ),
    files: entries.flatMap(([name, value]) => (value === 'file' ? name : [])),
    any: entries.flatMap(([name, value]) => (value === 'any' ? name : [])),
  };
}

function bash(model: Model): string {
  const { choices, files, any } = valueCases(model);
  return `# muster: completion for bash. Load it by: source <(muster completion bash)
_muster() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} said=' ' word skip='' index
  local options='${wordsOf(spelled(globals))}' choices='' files=''
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if [[ -n $skip ]]; then skip=''; continue; fi
    case $word in
      ${[...model.valued.keys()].join('|')}) skip=1 ;;
      -*) ;;
      *) said+="$word " ;;
    esac
  done
  case $previous in
${choices.map(([name, words]) => `    ${name}) choices='${words.join(' ')}' ;;`).join('\n')}
    ${files.join('|')}) files=1 ;;
    ${any.join('|')}) return ;;
    *)
      case $said in
${model.options
  .filter(({ own }) => own.length > 0)
  .map(({ after, own }) => `        ' ${after} '*) options+=' ${wordsOf(spelled(own))}' ;;`)
  .join('\n')}
      esac
      case $said in
${model.files.map((after) => `        ' ${after} '*) files=1 ;;`).join('\n')}
${model.places
  .toSorted((a, b) => b.after.length - a.after.length)
  .map(
    ({ after, choices: own, isOpen }) =>
      `        ${after === '' ? "' '" : `' ${after} '${isOpen ? '*' : ''}`}) choices='${wordsOf(own)}' ;;`,
  )
  .join('\n')}
      esac
      if [[ $current == -* ]]; then choices=$options files=''; fi ;;
  esac
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
  fi
}
complete -F _muster muster
`;
}

function zsh(model: Model): string {
  const { choices, files, any } = valueCases(model);
  const described = (own: readonly Choice[]) =>
    own.map(({ word, help }) => quoted(`${word}:${help.replaceAll(':', String.raw`\:`)}`, 'zsh')).join(' ');
  return `#compdef muster
# muster: completion for zsh. Load it by: source <(muster completion zsh), after compinit
_muster() {
  local said=' ' word skip='' files=''
  local -a options choices
  options=(${described(spelled(globals))})
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $skip ]]; then skip=''; continue; fi
    case $word in
      (${[...model.valued.keys()].join('|')}) skip=1 ;;
      (-*) ;;
      (*) said+="$word " ;;
    esac
  done
  case $words[CURRENT-1] in
${choices.map(([name, own]) => `    (${name}) compadd -- ${own.join(' ')}; return ;;`).join('\n')}
    (${files.join('|')}) _files; return ;;
    (${any.join('|')}) return ;;
  esac
  case $said in
${model.options
  .filter(({ own }) => own.length > 0)
  .map(({ after, own }) => `    (' ${after} '*) options+=(${described(spelled(own))}) ;;`)
  .join('\n')}
  esac
  case $said in
${model.files.map((after) => `    (' ${after} '*) files=1 ;;`).join('\n')}
${model.places
  .toSorted((a, b) => b.after.length - a.after.length)
  .map(
    ({ after, choices: own, isOpen }) =>
      `    (${after === '' ? "' '" : `' ${after} '${isOpen ? '*' : ''}`}) choices=(${described(own)}) ;;`,
  )
  .join('\n')}
  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe option options
  elif [[ -n $files ]]; then
    _files
  else
    _describe command choices
  fi
}
if [[ $funcstack[1] == _muster ]]; then _muster "$@"; else compdef _muster muster; fi
`;
}

function fish(model: Model): string {
  const q = (text: string) => quoted(text, 'fish');
  const option = (condition: string, [name, own]: [string, Option]) => {
    const value = own.type === 'boolean' ? undefined : valueOf(own.value ?? '');
    const wants =
      value === undefined
        ? ''
        : value === 'file'
          ? ' -r -F'
          : value === 'any'
            ? ' -x'
            : ` -x -a ${q(value.choices.join(' '))}`;
    return `complete -c muster${condition} -l ${name}${wants} -d ${q(own.help)}`;
  };
  return `# muster: completion for fish. Load it by: muster completion fish | source
function __muster_said
    set -l said
    set -l skip 0
    set -l tokens (commandline -opc)
    set -e tokens[1]
    for word in $tokens
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case ${[...model.valued.keys()].join(' ')}
                set skip 1
            case '-*'
            case '*'
                set -a said $word
        end
    end
    string join ' ' -- $said
end
function __muster_at
    test "$argv[1]" = (__muster_said | string collect --allow-empty)
end
function __muster_in
    string match -q -- "$argv[1] *" (__muster_said)' '
end
complete -c muster -f
${globals.map((each) => option('', each)).join('\n')}
${model.places
  .flatMap(({ after, choices, isOpen }) =>
    choices.map(
      ({ word, help }) =>
        `complete -c muster -n ${q(`${isOpen ? '__muster_in' : '__muster_at'} "${after}"`)} -a ${word} -d ${q(help)}`,
    ),
  )
  .join('\n')}
${model.files.map((after) => `complete -c muster -n ${q(`__muster_in "${after}"`)} -F`).join('\n')}
${model.options
  .flatMap(({ after, own }) => own.map((each) => option(` -n ${q(`__muster_in "${after}"`)}`, each)))
  .join('\n')}
`;
}
