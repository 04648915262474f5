// What somebody said on a task page and the server has not got yet is sent from the list of their projects, too: it is
// where people land after a login, or when they come back another day.

import * as outbox from "./outbox.js";
import { say } from "./server.js";

let isAny = outbox.unsent().length > 0, isRefused = false;

outbox.open({
  asked: (entry) => {
    const link = document.getElementById("to-change");
    link.href = link.dataset.address.replace("/-/", `/${entry.project}/`);
    return [];
  },
  kept: () => {},
  refused: (entry) => { isRefused = true; outbox.leaveText(entry); },
  sent: () => {
    if (isRefused) say("refused");
    else if (isAny) location.reload(); // for the new counts
    isAny = false;
  },
});
