// A thin layer over the CommonJS module: both module systems share one instance.
import integration from './ws.js';

export const { TracedServer, attach, connect, serve } = integration;
