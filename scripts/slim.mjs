// Removes parts of installed packages that no supported use of this project reads. It keeps what `npm start` needs under
// 500 MB. Plain syntax (runs before Node.js 24 is there). Every entry says what goes and why.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { packageName } from './node24.mjs'

function names(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Slims `root/node_modules` in place; missing packages are skipped. */
export function slim(root) {
  const modules = join(root, 'node_modules')
  const drop = (path) => rmSync(path, { recursive: true, force: true })

  // onnxruntime-node carries native libraries of six platforms (288 MB); one is used (45 MB on linux-x64).
  const native = join(modules, 'onnxruntime-node', 'bin')
  for (const api of names(native)) {
    for (const os of names(join(native, api))) {
      for (const cpu of names(join(native, api, os))) {
        if (os !== process.platform || cpu !== process.arch) drop(join(native, api, os, cpu))
      }
    }
  }

  // onnxruntime-web carries builds for WebGL, WebGPU and JSPI and source maps (about 120 MB); the plain WebAssembly build stays.
  const web = join(modules, 'onnxruntime-web', 'dist')
  for (const name of names(web)) {
    if (
      name.endsWith('.map') ||
      /^ort\.(all|webgl|webgpu|jspi)\./.test(name) ||
      /^ort-wasm-simd-threaded\.(jsep|asyncify|jspi)\./.test(name)
    ) {
      drop(join(web, name))
    }
  }

  // C headers for building native add-ons (67 MB); this project builds none.
  drop(join(modules, packageName(), 'include'))
}
