import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as Toy from '../../tests/execution/Toy.ts'
import * as Bytes from '../protocol/Bytes.ts'
import * as BadRequest from './BadRequest.ts'
import * as Tensor from './Tensor.ts'

const prepare = (request: unknown, name?: string) =>
  Tensor.prepareInfer(
    Bytes.fromUtf8(typeof request === 'string' ? request : JSON.stringify(request)),
    Toy.tensorManifest,
    name,
  )
const a = { name: 'a', shape: [2, 2], datatype: 'FP32', data: [1, 2, 3, 4] }
const b = { name: 'b', shape: [2], datatype: 'INT64', data: [5, -6] }
const sum: Tensor.Tensor = { name: 'sum', datatype: 'FP32', shape: [2], data: Tensor.fromFloats([0.1, -0]) }
const count: Tensor.Tensor = {
  name: 'count',
  datatype: 'INT64',
  shape: [1],
  data: Tensor.fromIntegers([2n ** 63n - 1n]),
}

describe('prepareInfer', () => {
  test('takes inputs in any order and uses them in the order of the manifest', () => {
    const prepared = prepare({ id: 'x', inputs: [b, a] })
    assert.deepEqual(
      prepared.tensors.map(({ name, shape }) => [name, shape]),
      [
        ['a', [2, 2]],
        ['b', [2]],
      ],
    )
    assert.deepEqual(prepared.outputs, ['sum', 'count'])
    assert.deepEqual(prepared.rewrites, [])
    assert.deepEqual(prepared.leaves.map(Bytes.toHex), [
      '828361616446503332820202836162' + '65494e543634' + '8102',
      '0000803f000000400000404000008040',
      '0500000000000000faffffffffffffff',
    ])
    assert.deepEqual(Tensor.fromLeaves(prepared.leaves), prepared.tensors)
  })

  test('nested and flat data are the same tensor', () => {
    const nested = {
      ...a,
      data: [
        [1, 2],
        [3, 4],
      ],
    }
    assert.deepEqual(prepare({ inputs: [nested, b] }), prepare({ inputs: [a, b] }))
  })

  test('rounds numbers to the nearest double, then to the nearest float', () => {
    const text = JSON.stringify({ inputs: [{ ...a, data: [0, 0, 0, 0] }, b] })
    const { tensors } = prepare(text.replace('[0,0,0,0]', '[0.1,16777217,-0,3.4028235e38]'))
    assert.deepEqual([...Tensor.toFloats(tensors[0]!)], [Math.fround(0.1), 16777216, -0, 3.4028234663852886e38])
  })

  test('another name than the model has is an alias; outputs are shown in the order of the manifest', () => {
    const prepared = prepare({ inputs: [a, b], outputs: [{ name: 'count' }, { name: 'sum' }] }, 'other')
    assert.deepEqual(prepared.rewrites, [{ code: 'alias', path: '', detail: 'adder' }])
    assert.deepEqual(prepared.outputs, ['sum', 'count'])
  })

  const big = '9223372036854775808'
  const refused: readonly (readonly [string, unknown, string, string | null])[] = [
    ['no JSON', 'x', 'invalid-json', null],
    ['no inputs', {}, 'missing-field', '/inputs'],
    ['one input too few', { inputs: [a] }, 'invalid-value', '/inputs'],
    ['an unknown input', { inputs: [a, { ...b, name: 'c' }] }, 'invalid-value', '/inputs'],
    ['an input twice', { inputs: [a, a] }, 'invalid-value', '/inputs/1/name'],
    ['parameters', { inputs: [a, b], parameters: {} }, 'unsupported-field', '/parameters'],
    ['input parameters', { inputs: [{ ...a, parameters: {} }, b] }, 'unsupported-field', '/inputs/0/parameters'],
    ['a long id', { inputs: [a, b], id: 'é'.repeat(33) }, 'too-large', '/id'],
    ['another datatype', { inputs: [{ ...a, datatype: 'FP64' }, b] }, 'invalid-value', '/inputs/0/datatype'],
    ['another rank', { inputs: [{ ...a, shape: [4] }, b] }, 'wrong-shape', '/inputs/0/shape'],
    ['another size', { inputs: [{ ...a, shape: [1, 4] }, b] }, 'wrong-shape', '/inputs/0/shape'],
    ['size 0', { inputs: [{ ...a, shape: [0, 2], data: [] }, b] }, 'wrong-shape', '/inputs/0/shape'],
    ['too many elements', { inputs: [{ ...a, shape: [1 << 20, 2] }, b] }, 'too-large', '/inputs/0/shape'],
    ['data too short', { inputs: [{ ...a, data: [1, 2, 3] }, b] }, 'wrong-shape', '/inputs/0/data'],
    ['data nested otherwise', { inputs: [{ ...a, data: [[1, 2, 3, 4]] }, b] }, 'wrong-shape', '/inputs/0/data'],
    ['data half nested', { inputs: [{ ...a, data: [[1, 2], 3] }, b] }, 'wrong-shape', '/inputs/0/data'],
    [
      'data nested too deep',
      {
        inputs: [
          {
            ...a,
            data: [
              [[1], [2]],
              [[3], [4]],
            ],
          },
          b,
        ],
      },
      'invalid-type',
      '/inputs/0/data',
    ],
    ['text in data', { inputs: [{ ...a, data: ['1', 2, 3, 4] }, b] }, 'invalid-type', '/inputs/0/data'],
    ['float overflow', { inputs: [{ ...a, data: [1, 2, 3, 3.5e38] }, b] }, 'invalid-value', '/inputs/0/data'],
    ['a fraction as INT64', { inputs: [a, { ...b, data: [1.5, 1] }] }, 'invalid-value', '/inputs/1/data'],
    [
      'INT64 overflow',
      JSON.stringify({ inputs: [a, b] }).replace('[5,-6]', `[${big},1]`),
      'invalid-value',
      '/inputs/1/data',
    ],
    ['an unknown output', { inputs: [a, b], outputs: [{ name: 'x' }] }, 'invalid-value', '/outputs/0/name'],
    [
      'an output twice',
      { inputs: [a, b], outputs: [{ name: 'sum' }, { name: 'sum' }] },
      'invalid-value',
      '/outputs/1/name',
    ],
    ['no output', { inputs: [a, b], outputs: [] }, 'invalid-value', '/outputs'],
  ]
  for (const [name, request, code, param] of refused) {
    test(`refuses ${name}: ${code} at ${param}`, () => {
      assert.throws(
        () => prepare(request),
        (error) => {
          assert.ok(error instanceof BadRequest.BadRequestError, String(error))
          assert.deepEqual([error.code, error.param], [code, param])
          return true
        },
      )
    })
  }
})

describe('renderInfer', () => {
  test('writes numbers as ECMAScript does, INT64 as plain decimals', () => {
    const all = Bytes.toUtf8(Tensor.renderInfer(prepare({ id: 'x"', inputs: [a, b] }), [sum, count]))
    assert.equal(
      all,
      '{"model_name":"adder","model_version":"1","id":"x\\"","outputs":[{"name":"sum","datatype":"FP32","shape":[2],"data":[0.10000000149011612,0]},{"name":"count","datatype":"INT64","shape":[1],"data":[9223372036854775807]}]}',
    )
    const one = Bytes.toUtf8(
      Tensor.renderInfer(prepare({ inputs: [a, b], outputs: [{ name: 'count' }] }), [sum, count]),
    )
    assert.equal(
      one,
      '{"model_name":"adder","model_version":"1","outputs":[{"name":"count","datatype":"INT64","shape":[1],"data":[9223372036854775807]}]}',
    )
  })
})

describe('outputLeaves', () => {
  test('takes exactly the outputs of the manifest, finite', () => {
    assert.equal(Tensor.outputLeaves([sum, count], Toy.tensorManifest).length, 3)
    const nan = { ...sum, data: Tensor.fromFloats([Number.NaN, 0]) }
    for (const output of [[sum], [count, sum], [{ ...sum, shape: [1, 2] }, count], [nan, count]]) {
      assert.throws(() => Tensor.outputLeaves(output, Toy.tensorManifest), Tensor.TensorError)
    }
  })
})

describe('fromLeaves', () => {
  test('refuses leaves that contradict their description', () => {
    const { leaves } = prepare({ inputs: [a, b] })
    for (const bad of [
      [],
      leaves.slice(0, 2),
      [leaves[0]!, leaves[1]!.subarray(1), leaves[2]!],
      [Uint8Array.of(0xf6)],
    ]) {
      assert.throws(() => Tensor.fromLeaves(bad), Tensor.TensorError)
    }
  })
})
