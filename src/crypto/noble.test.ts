import { behavesLikeCrypto } from './Crypto.behavior.ts'
import { createEd25519Signer, createP256Signer, crypto } from './noble.ts'

behavesLikeCrypto('noble', { crypto, createP256Signer, createEd25519Signer })
