import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { errors } from 'assay/protocol'
import * as Database from './Database.ts'
import * as GroupCommit from './GroupCommit.ts'

const folder = mkdtempSync(join(tmpdir(), 'assay-store-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const migrations = ['CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT']
let count = 0
const newPath = (): string => join(folder, `${++count}`, 'notes.db')
const open = (path = newPath(), steps = migrations) => Database.open({ path, kind: 'notes', migrations: steps })

function notesOf(database: Database.Database): unknown[] {
  return database.handle
    .prepare('SELECT text FROM notes ORDER BY number')
    .all()
    .map((row) => row.text)
}

describe('open', () => {
  test('syncs at every commit and keeps the folder to itself', () => {
    const path = newPath()
    const database = open(path)
    const read = (name: string) => Object.values(database.handle.prepare(`PRAGMA ${name}`).get() ?? {})[0]
    assert.deepEqual(['journal_mode', 'synchronous', 'locking_mode'].map(read), ['wal', 2, 'exclusive'])
    assert.throws(
      () => open(path),
      (error: unknown) => error instanceof Database.FolderInUseError && error.message.includes('notes folder'),
    )
    database.close()
    open(path).close()
  })

  test('runs each migration once and refuses a newer folder', () => {
    const path = newPath()
    open(path).close()
    const database = open(path, [...migrations, "INSERT INTO notes (text) VALUES ('second step')"])
    assert.deepEqual(notesOf(database), ['second step'])
    database.close()
    assert.throws(() => open(path), Database.NewerSchemaError)
  })

  test('what it writes is for its owner alone, also in a folder that others may enter', () => {
    const path = newPath()
    mkdirSync(dirname(path), { mode: 0o755 })
    const database = open(path)
    for (const name of readdirSync(dirname(path))) {
      assert.equal(statSync(join(dirname(path), name)).mode & 0o077, 0, name)
    }
    database.close()
  })

  test('undoes a migration that fails', () => {
    const path = newPath()
    assert.throws(() => open(path, [...migrations, "INSERT INTO notes (text) VALUES ('kept?'); SELECT nonsense"]))
    const database = open(path)
    assert.deepEqual(notesOf(database), [])
    database.close()
  })

  test('names damage and an unusable path', () => {
    const path = newPath()
    open(path).close()
    writeFileSync(path, 'This is no database, and long enough to be sure of it.'.repeat(100))
    assert.throws(() => open(path), Database.CorruptError)
    assert.throws(() => open(join(path, 'below-a-file.db')), Database.StorageError)
  })
})

describe('transaction', () => {
  test('keeps nothing of work that throws', () => {
    const database = open()
    const add = database.handle.prepare('INSERT INTO notes (text) VALUES (?)')
    assert.throws(() =>
      database.transaction(() => {
        add.run('gone')
        throw new RangeError('no')
      }),
    )
    database.transaction(() => add.run('kept'))
    assert.deepEqual(notesOf(database), ['kept'])
    database.close()
  })

  test('a full disk is a typed error, nothing is kept, and it works again with space', () => {
    const database = open()
    const add = database.handle.prepare('INSERT INTO notes (text) VALUES (?)')
    const pages = Number(database.handle.prepare('PRAGMA page_count').get()?.page_count)
    database.handle.exec(`PRAGMA max_page_count = ${pages + 1}`)
    assert.throws(
      () => database.transaction(() => add.run('x'.repeat(100_000))),
      (error: unknown) => error instanceof Database.DiskFullError && errors.UnavailableError.isInstance(error),
    )
    assert.deepEqual(notesOf(database), [])
    database.handle.exec('PRAGMA max_page_count = 1000000')
    database.transaction(() => add.run('y'.repeat(100_000)))
    assert.equal(notesOf(database).length, 1)
    database.close()
  })
})

describe('GroupCommit', () => {
  function scene(options: { maxQueue?: number; hooks?: GroupCommit.Hooks } = {}) {
    const database = open()
    const add = database.handle.prepare('INSERT INTO notes (text) VALUES (?)')
    const commits = GroupCommit.create({ database, ...options })
    return { database, commits, write: (text: string) => commits.write(() => add.run(text).changes) }
  }

  test('many writes share a commit, and each gets its own result', async () => {
    let groups = 0
    const { database, commits, write } = scene({
      hooks: { reached: (step) => (groups += +(step === 'group-committed')) },
    })
    const results = await Promise.all(Array.from({ length: 100 }, (_, i) => write(`${i}`)))
    assert.deepEqual(new Set(results), new Set([1]))
    assert.equal(groups, 1)
    assert.equal(notesOf(database).length, 100)
    await commits.close()
    await assert.rejects(write('late'), { code: 'closed' })
    database.close()
  })

  test('a write that fails is undone alone', async () => {
    const { database, commits, write } = scene()
    const results = await Promise.allSettled([write('a'), write('a'), write('b')])
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.deepEqual(notesOf(database), ['a', 'b'])
    await commits.close()
    database.close()
  })

  test('when the commit fails nobody is told yes and nothing is kept', async () => {
    let isFailing = true
    const { database, commits, write } = scene({
      hooks: {
        reached: (step) => {
          if (step === 'group-written' && isFailing) throw new Error('before the commit')
        },
      },
    })
    const results = await Promise.allSettled([write('a'), write('b')])
    assert.ok(results.every((result) => result.status === 'rejected'))
    assert.deepEqual(notesOf(database), [])
    isFailing = false
    await write('c')
    assert.deepEqual(notesOf(database), ['c'])
    await commits.close()
    database.close()
  })

  test('a full disk fails the whole group', async () => {
    const { database, commits, write } = scene()
    const pages = Number(database.handle.prepare('PRAGMA page_count').get()?.page_count)
    database.handle.exec(`PRAGMA max_page_count = ${pages + 1}`)
    const results = await Promise.allSettled([write('small'), write('x'.repeat(100_000))])
    for (const result of results) {
      assert.ok(result.status === 'rejected' && result.reason instanceof Database.DiskFullError)
    }
    assert.deepEqual(notesOf(database), [])
    await commits.close()
    database.close()
  })

  test('refuses more than the queue holds', async () => {
    const { database, commits, write } = scene({ maxQueue: 3 })
    const results = await Promise.allSettled(['a', 'b', 'c', 'd'].map(write))
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
    )
    assert.equal((results[3] as PromiseRejectedResult).reason.code, 'overloaded')
    await commits.close()
    database.close()
  })
})
