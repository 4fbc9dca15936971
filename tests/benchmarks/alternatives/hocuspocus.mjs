// Hocuspocus on 127.0.0.1: node hocuspocus.mjs <port> [folder to keep documents in]
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Server } from '@hocuspocus/server'
import * as Y from 'yjs'

const [port, folder] = process.argv.slice(2)
const configuration = { port: Number(port), address: '127.0.0.1', quiet: true }

if (folder) {
  const file = name => join(folder, encodeURIComponent(name))
  configuration.onLoadDocument = async ({ document, documentName }) => {
    try {
      Y.applyUpdate(document, await readFile(file(documentName)))
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
    return document
  }
  configuration.onStoreDocument = async ({ document, documentName }) => {
    await writeFile(file(documentName), Y.encodeStateAsUpdate(document))
  }
}

await new Server(configuration).listen()
