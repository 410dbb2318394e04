/** program.ts - the commands, their options and their help. Commands load when they run: `assay --help` starts no engine. */
import { Command, InvalidArgumentError, Option } from 'commander'
import * as Amount from './Amount.ts'
import type { Context } from './Context.ts'

const firstExamples = `
Examples:
  assay up
  assay ask "What is a receipt?" --save a.receipt
  assay verify a.receipt --policy recorded --recompute`

const exitCodes = `
Exit codes: 0 MEETS (or done), 1 INSUFFICIENT (or something is missing), 2 INVALID or unreadable, 3 FAULT,
64 usage, 75 not available now (try again), 130 stopped by you.`

const slots =
  'node order request effectiveRequest response output model weights engine route exposure attestation proof price outcome'

/** Makes the program; `done` gets the exit code of the command that ran. */
export function create(context: Context, done: (code: number) => void): Command {
  const program = new Command('assay')
    .description('Every AI call leaves a receipt. Check what one is worth, offline, without believing a label on it.')
    .version('0.1.0')
    .showHelpAfterError('(run the command with --help for examples)')
    .addHelpText('after', firstExamples)
    .addHelpText('after', exitCodes)
    .configureOutput({
      writeOut: (text) => context.terminal.raw(text),
      writeErr: (text) => context.terminal.say(text.trimEnd(), 0),
    })
    .exitOverride()
  const run = (work: () => number | Promise<number>) => Promise.resolve(work()).then(done)

  const described = (name: string, description: string, examples: string, parent: Command = program) =>
    parent
      .command(name)
      .description(description)
      .addHelpText('after', `\nExamples:\n${examples.replace(/^/gm, '  ')}`)
  const command = (...words: Parameters<typeof described>) =>
    described(...words)
      .option('--home <folder>', 'home folder (default: ASSAY_HOME, else ~/.assay)')
      .option('--json', 'one JSON value on stdout')

  command(
    'up',
    'Start the whole network on this machine, make sample calls, print their verdicts, then serve until stopped.',
    'assay up\nassay up --once --json\nASSAY_CHAIN_RPC=http://127.0.0.1:8545 assay up --port 8600\nASSAY_CHAIN_RPC=https://a.example,https://b.example assay up --contracts addresses.json',
  )
    .option('--once', 'stop after the sample calls')
    .option('--port <number>', 'port of the gateway, 0 = a free one', port)
    .option('--contracts <file>', 'address book of another operator (its HOME/chain/addresses.json); ASSAY_CONTRACTS')
    .option('--block-time <seconds>', 'time from block to block of ASSAY_CHAIN_RPC, else measured', blockTime)
    .option('--verbose', "the daemon's log on stderr as well (it is always in HOME/daemon.log)")
    .action((options) => run(async () => (await import('./commands/up.ts')).up(context, options)))

  const asking = (made: Command) =>
    made
      .option('--save <file>', 'write the receipt with everything that speaks for it (holds prompt and answer)')
      .addOption(
        new Option('--wait <fact>', 'how far anchoring must rise before the answer is given')
          .choices(['pledged', 'included', 'anchored', 'final'])
          .default('final'),
      )
      .option(
        '--policy <name|file>',
        'policy under which it is asked. Default: embedded, because your home names this operator itself; with --wait below final, embedded without the facts above. `strict` is for operators that others watch',
      )
      .option('--timeout <seconds>', 'longest wait for anchoring', count, 120)
      .option('--exact', 'ask only for a bit-exact, repeatable run')

  asking(
    command(
      'ask <prompt>',
      'Ask a model. What streams to the terminal is provisional; stdout gets the answer only if its receipt meets the policy.',
      'assay ask "What is a receipt?" --save a.receipt\nassay ask "Hello" --wait pledged\nassay ask "Tell me a story." --temperature 0.8 --seed 7 --policy mine.json',
    ),
  )
    .option('--model <id>', 'model', 'tiny')
    .option('--system <text>', 'system message')
    .option('--max-tokens <number>', 'most tokens drawn', count, 120)
    .option('--temperature <decimal>', '0 to 2', decimal, '0')
    .option('--top-p <decimal>', 'above 0, at most 1', decimal, '1')
    .addOption(new Option('--seed <number>', 'seed of the sampler').argParser(seed).default(0n, '0'))
    .action((prompt, options) => run(async () => (await import('./commands/ask.ts')).ask(context, prompt, options)))

  asking(
    command(
      'infer <model>',
      'Run a tensor model (Open Inference Protocol); stdout gets the outputs only if the receipt meets the policy.',
      'assay infer digits --sample 3\nassay infer digits --input @request.json --save d.receipt',
    ),
  )
    .option('--input <json|@file>', 'body of the request: {"inputs":[{"name","shape","datatype","data"}]}')
    .option('--sample <number>', "one of the model's own samples", count)
    .action((model, options) => run(async () => (await import('./commands/ask.ts')).infer(context, model, options)))

  command(
    'verify <file>',
    'Compute the verdict on a receipt file. Trust comes from your home alone; nothing in the file is believed. Evidence in HOME/client/faults that concerns its keys counts.',
    'assay verify a.receipt\nassay verify a.receipt --policy recorded --recompute\nassay verify a.receipt --policy recorded --offline --json\nassay verify a.receipt --anchors theirs.json --fault double.fault',
  )
    .option('--policy <name|file>', 'recorded, bonded, embedded, strict, or a policy file', 'strict')
    .option('--recompute', 'run the call again on your own engine and compare')
    .option('--offline', 'open no connection; trust anchors from your home only')
    .option('--anchors <file>', "trust anchors from this file instead of your home's")
    .option('--fault <file...>', 'more counter-evidence; at most 64 files count, these before those of your home')
    .action((file, options) => run(async () => (await import('./commands/verify.ts')).verify(context, file, options)))

  command(
    'explain <file>',
    'Tell in words what a receipt says and what speaks for it. Ends with 0 whatever the verdict is.',
    'assay explain a.receipt\nassay explain a.receipt --policy recorded',
  )
    .option('--policy <name|file>', 'policy to hold it against', 'strict')
    .action((file, options) => run(async () => (await import('./commands/verify.ts')).explain(context, file, options)))

  command(
    'inspect <file>',
    'List every piece of a receipt file with its size and bytes, nothing judged.',
    'assay inspect a.receipt\nassay inspect a.receipt --raw   # every byte, prompt and answer included',
  )
    .option('--raw', 'the whole file in CBOR diagnostic notation')
    .action((file, options) => run(async () => (await import('./commands/inspect.ts')).inspect(context, file, options)))

  command(
    'cut <file>',
    'Make a smaller file of the same receipt, without any key. By default hides the prompt: slots request and effectiveRequest and their bodies.',
    'assay cut a.receipt -o public.receipt\nassay cut a.receipt --drop-body all -o small.receipt\nassay cut a.receipt --hide response,output --drop chain -o b.receipt',
  )
    .requiredOption('-o, --output <file>', 'file to write')
    .option('--hide <slots>', `slots to hide, with commas: ${slots}`, words)
    .option('--drop-body <bodies>', 'bodies to take out, with commas: request effective response output, or all', words)
    .option('--drop <pieces>', 'pieces to take out, with commas: order manifest chain stake checkpoint pledge', words)
    .action((file, options) => run(async () => (await import('./commands/cut.ts')).cut(context, file, options)))

  const policy = described(
    'policy',
    'The policies that come with Assay, and policy files.',
    'assay policy list\nassay policy show strict > mine.json\nassay policy check mine.json',
  )
  command('list', 'List them with their hashes.', 'assay policy list', policy).action((options) =>
    run(async () => (await import('./commands/policy.ts')).list(context, options)),
  )
  command(
    'show <name>',
    'Print one as JSON, a start for your own.',
    'assay policy show strict > mine.json',
    policy,
  ).action((name, options) => run(async () => (await import('./commands/policy.ts')).show(context, name, options)))
  command('hash <file>', 'Print the hash of a policy (name or file).', 'assay policy hash mine.json', policy).action(
    (file, options) => run(async () => (await import('./commands/policy.ts')).hash(context, file, options)),
  )
  command('check <file>', 'Say whether a policy file is well-formed.', 'assay policy check mine.json', policy).action(
    (file, options) => run(async () => (await import('./commands/policy.ts')).check(context, file, options)),
  )

  const log = described(
    'log',
    'The transparency log, and your receipts on their way up.',
    'assay log status\nassay log tail -n 20\nassay log raise',
  )
  command('status', 'Size and root of the published tree, signature checked.', 'assay log status', log).action(
    (options) => run(async () => (await import('./commands/log.ts')).status(context, options)),
  )
  command('tail', 'The newest entries.', 'assay log tail -n 20', log)
    .option('-n, --lines <number>', 'how many, at most 1000', lines, 10)
    .action((options) => run(async () => (await import('./commands/log.ts')).tail(context, options)))
  command(
    'proof <file>',
    "A receipt's inclusion proof, asked of the log and checked here.",
    'assay log proof a.receipt',
    log,
  ).action((file, options) => run(async () => (await import('./commands/log.ts')).proof(context, file, options)))
  command('pending', 'Your receipts that are not final yet.', 'assay log pending', log).action((options) =>
    run(async () => (await import('./commands/log.ts')).pending(context, options)),
  )
  command(
    'raise [file]',
    'Lift a receipt file, or everything pending, as far as possible now.',
    'assay log raise a.receipt\nassay log raise',
    log,
  ).action((file, options) => run(async () => (await import('./commands/log.ts')).raise(context, file, options)))

  const fault = described(
    'fault',
    'Evidence against nodes, logs and witnesses, and the court that takes their stake for it.',
    'assay fault verify double.fault\nassay fault submit double.fault\nassay fault list',
  )
  command(
    'verify <file>',
    'Judge a fault file as the court does, with your own view of the chain. Ends with 0 accepted, 1 accepted if the chain is as it says, 2 refused.',
    'assay fault verify double.fault\nassay fault verify double.fault --offline --json',
    fault,
  )
    .option('--offline', 'open no connection; what the file says of the chain is taken as said')
    .action((file, options) => run(async () => (await import('./commands/fault.ts')).verify(context, file, options)))
  command(
    'submit <file>',
    'File it: commit, wait, file, fetch the reward, from HOME/client/reporter.key. Can be stopped anywhere and repeated.',
    'assay fault submit double.fault\nassay fault submit double.fault --json',
    fault,
  )
    .option('--timeout <seconds>', 'longest wait', count, 300)
    .action((file, options) => run(async () => (await import('./commands/fault.ts')).submit(context, file, options)))
  command('list', 'Your evidence, and faults on record.', 'assay fault list\nassay fault list --json', fault)
    .option('--blocks <number>', 'how far back the record is read', count, 50_000)
    .action((options) => run(async () => (await import('./commands/fault.ts')).list(context, options)))
  const bonded = (made: Command) =>
    made.option('--limit <wei>', 'most wei in bonds of open cases at once (default: 10^18, one coin)', wei)
  bonded(
    command(
      'challenge <log> <index>',
      'Demand an entry that a log does not show, against a bond.',
      `assay fault challenge ${'ab'.repeat(32)} 17`,
      fault,
    ),
  ).action((id, index, options) =>
    run(async () => (await import('./commands/cases.ts')).challenge(context, id, wei(index), options)),
  )
  bonded(
    command(
      'demand <file>',
      'Demand that a node opens a slot of its receipt, against a bond.',
      'assay fault demand a.receipt --slot model\nassay fault demand a.receipt --slot output',
      fault,
    ),
  )
    .requiredOption('--slot <name>', 'order model weights engine proof price; with your order also request to output')
    .action((file, options) => run(async () => (await import('./commands/cases.ts')).demand(context, file, options)))
  command('cases', 'What became of your demands.', 'assay fault cases --json', fault).action((options) =>
    run(async () => (await import('./commands/cases.ts')).follow(context, options, false)),
  )
  command(
    'expire',
    'End those that nobody answered in time, and fetch their rewards and bonds.',
    'assay fault expire',
    fault,
  ).action((options) => run(async () => (await import('./commands/cases.ts')).follow(context, options, true)))
  command('withdraw', 'Fetch bonds that came back, all at once.', 'assay fault withdraw', fault).action((options) =>
    run(async () => (await import('./commands/cases.ts')).withdraw(context, options)),
  )

  command(
    'settle',
    'Anchor what a log has signed and not brought to the chain, from your own account; anybody may.',
    'assay settle\nassay settle --log https://files.example/log --json\nassay settle --request a.receipt',
  )
    .option('--log <url|id>', "folder of its files, or the id of one of your gateway's logs (default: all of those)")
    .option('--request <file>', 'instead, write down on chain that the entry of this receipt is wanted')
    .option('--dry-run', 'send nothing')
    .action((options) => run(async () => (await import('./commands/settle.ts')).settle(context, options)))

  const stake = described(
    'stake',
    'What nodes and logs have at stake: looked at, put there, taken away. Amounts in ASY.',
    'assay stake status\nassay stake bond 5000\nassay stake delegate log 250.5',
  )
  const whose = (made: Command) =>
    made
      .option('--subject <name|id>', 'node, log, log2, or 64 hex digits')
      .option('--delegated', 'what your reporter account (HOME/client/reporter.key) delegated, not the own bond')
  command(
    'status [subject]',
    'Self-bond, delegated and leaving stake, index, exit delay, open cases, your own part; of one subject, or of the node and the logs of this home or its gateway.',
    `assay stake status\nassay stake status log --json\nassay stake status ${'ab'.repeat(32)}`,
    stake,
  ).action((subject, options) =>
    run(async () => (await import('./commands/stake.ts')).status(context, subject, options)),
  )
  command(
    'bond <amount>',
    'Add to the self-bond, from the operator account. The daemon must be stopped.',
    'assay stake bond 5000\nassay stake bond 250.5 --subject log2',
    stake,
  )
    .option('--subject <name|id>', 'node, log, log2, or 64 hex digits', 'node')
    .action((amount, options) =>
      run(async () => (await import('./commands/stake.ts')).bond(context, tokens(amount), options)),
    )
  command(
    'delegate <subject> <amount>',
    "Stake on somebody else's node or log, from HOME/client/reporter.key; it is slashed with the operator's.",
    `assay stake delegate node 250.5\nassay stake delegate ${'ab'.repeat(32)} 1000`,
    stake,
  ).action((subject, amount, options) =>
    run(async () => (await import('./commands/stake.ts')).delegate(context, subject, tokens(amount), options)),
  )
  whose(
    command(
      'unbond <amount>',
      'Begin to take stake away (`all`: everything of yours on it); it can still be slashed until it leaves. Default: the own bond on node; the daemon must be stopped for that.',
      'assay stake unbond 1000\nassay stake unbond all --subject log2\nassay stake unbond 250.5 --delegated --subject node',
      stake,
    ),
  ).action((amount, options) =>
    run(async () =>
      (await import('./commands/stake.ts')).unbond(context, amount === 'all' ? 'all' : tokens(amount), options),
    ),
  )
  command(
    'retire',
    'End the stake on a subject for good: all of it leaves, yours and what others delegated. The daemon must be stopped. `assay keys retire log` ends a log with its key.',
    'assay stake retire --yes\nassay stake retire --subject log2 --yes',
    stake,
  )
    .option('--subject <name|id>', 'node, log, log2, or 64 hex digits', 'node')
    .option('--yes', 'it cannot be taken back')
    .action((options) => run(async () => (await import('./commands/stake.ts')).retire(context, options)))
  whose(
    command(
      'withdraw',
      'Pay out stake whose time to leave has come, of one subject or of all.',
      'assay stake withdraw\nassay stake withdraw --subject log2\nassay stake withdraw --delegated --json',
      stake,
    ),
  ).action((options) => run(async () => (await import('./commands/stake.ts')).payOut(context, 'withdraw', options)))
  whose(
    command(
      'claim',
      'Pay out rewards that stake has earned, of one subject or of all.',
      'assay stake claim\nassay stake claim --delegated --subject node',
      stake,
    ),
  ).action((options) => run(async () => (await import('./commands/stake.ts')).payOut(context, 'claim', options)))

  const keys = described(
    'keys',
    'The keys of this home: which there are, new ones, and their end. ASSAY_PASSPHRASE opens and makes encrypted files.',
    'assay keys list\nassay keys rotate node\nassay keys protect',
  )
  command('list', 'List them: identifier, epoch, blocks of validity, file.', 'assay keys list --json', keys).action(
    (options) => run(async () => (await import('./commands/keys.ts')).list(context, options)),
  )
  command('create', 'Make the key files that are missing.', 'assay keys create', keys).action((options) =>
    run(async () => (await import('./commands/keys.ts')).create(context, options)),
  )
  command(
    'rotate <key>',
    'Replace the key of node or witness by one in the next epoch; receipts of the old key stay what they are. The daemon must be stopped.',
    'assay keys rotate node\nassay keys rotate witness',
    keys,
  ).action((key, options) => run(async () => (await import('./commands/keys.ts')).rotate(context, key, options)))
  command(
    'retire <key>',
    'End the key of node, witness, log or log2 on chain, now. A log ends with its key. The daemon must be stopped.',
    'assay keys retire node --yes\nassay keys retire log --yes',
    keys,
  )
    .option('--yes', 'it cannot be taken back')
    .action((key, options) => run(async () => (await import('./commands/keys.ts')).retire(context, key, options)))
  command('export', 'Print the public parts as JSON.', 'assay keys export > keys.json', keys).action((options) =>
    run(async () => (await import('./commands/keys.ts')).exportKeys(context, options)),
  )
  command('protect', 'Encrypt every key file under one passphrase.', 'assay keys protect', keys).action((options) =>
    run(async () => (await import('./commands/keys.ts')).protect(context, options)),
  )
  command('unprotect', 'Store every key file without a passphrase again.', 'assay keys unprotect', keys).action(
    (options) => run(async () => (await import('./commands/keys.ts')).unprotect(context, options)),
  )

  command(
    'doctor',
    'Say what is there, what is missing, and what stands in for it.',
    'assay doctor\nassay doctor --json',
  ).action((options) => run(async () => (await import('./commands/doctor.ts')).doctor(context, options)))

  const demo = described(
    'demo',
    'Demonstrations that need nothing and leave nothing behind.',
    'assay demo fraud\nassay demo fraud --only F1,F4 --keep evidence',
  )
  command(
    'fraud',
    'Nodes, logs and witnesses really commit each fault, on a chain of their own in a temporary folder; a default client catches them, the contract slashes.',
    'assay demo fraud\nassay demo fraud --json\nassay demo fraud --only F1,F4 --keep evidence\nassay demo fraud --honest',
    demo,
  )
    .option('--only <faults>', 'some of them, with commas: F1 F2 F3 F4 F4-missing F5 F6 F13 F17 F18', words)
    .option('--keep <folder>', "copy the clients' receipts and evidence there")
    .option('--honest', 'the same parties without cheating: nothing may be found')
    .action((options) => run(async () => (await import('./commands/demo.ts')).fraud(context, options)))

  command(
    'reset',
    'Put folders aside so that the next start makes new keys or a new chain; refuses while a daemon holds the home.',
    'assay reset --keys node\nassay reset --keys all --chain --yes',
  )
    .addOption(new Option('--keys <which>', 'whose keys end').choices(['node', 'log', 'log2', 'witness', 'all']))
    .option('--chain', 'the development chain too (ends everything that rests on it)')
    .option('--yes', 'do not ask')
    .action((options) => run(async () => (await import('./commands/reset.ts')).reset(context, options)))
  return program
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535) throw new InvalidArgumentError('a number from 0 to 65535')
  return Number(text)
}

function blockTime(text: string): number {
  const seconds = Number(text)
  if (!/^\d{1,3}(\.\d{1,3})?$/.test(text) || seconds < 0.05 || seconds > 600)
    throw new InvalidArgumentError('0.05 to 600')
  return seconds
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number')
  return Number(text)
}

function lines(text: string): number {
  const number = count(text)
  if (number < 1 || number > 1000) throw new InvalidArgumentError('1 to 1000')
  return number
}

function decimal(text: string): string {
  if (!/^(0|[1-9]\d?)(\.\d{1,17})?$/.test(text)) throw new InvalidArgumentError('a decimal number')
  return text
}

function seed(text: string): bigint {
  if (!/^(0|[1-9]\d{0,19})$/.test(text) || BigInt(text) >> 64n !== 0n) throw new InvalidArgumentError('0 to 2^64-1')
  return BigInt(text)
}

function wei(text: string): bigint {
  if (!/^(0|[1-9]\d{0,29})$/.test(text)) throw new InvalidArgumentError('a whole number')
  return BigInt(text)
}

function tokens(text: string): bigint {
  const units = Amount.parseTokens(text)
  if (units === undefined) throw new InvalidArgumentError('an amount of ASY like 1500.25')
  return units
}

function words(text: string): string[] {
  return text.split(',').filter((word) => word !== '')
}
