(* Outputs with several components, and losses that are no sum over examples: the identity again.

   A model with outputs in R^(q+1) has a matrix for its tangent kernel, K^{oj}(x, x') = <grad f_o(x), grad f_j(x')>.
   The identity holds in each component. A ratio form would divide by the matrix (integral of K dt), and is not
   claimed here: for softmax probabilities that matrix never is invertible.

   Carries: T1k (the identity), T1i. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients.
Open Scope R_scope.

(* ---------------------------------------------------------------- the chain rule through a vector *)

(* the vector with components a 0, ..., a q *)
Fixpoint vector {q : nat} (a : nat -> R) : Vec q :=
  match q return Vec q with O => a O | S k => (a O, vector (fun j => a (S j))) end.

Lemma dot_vector {q : nat} (p : Vec q) (a : nat -> R) :
  dot p (vector a) = sum (S q) (fun j => coord j p * a j).
Proof.
revert a; induction q as [|k IH]; intros a; [simpl; ring|].
rewrite sum_first. change (fst p * a O + dot (snd p) (vector (fun j => a (S j))) =
  fst p * a O + sum (S k) (fun j => coord j (snd p) * a (S j))). now rewrite IH.
Qed.

(* a map into R^(q+1) is differentiable when its components are *)
Lemma filterdiff_components {n q : nat} (F : Vec n -> Vec q) (v : Vec n) (rows : nat -> Vec n) :
  (forall j, (j <= q)%nat -> is_grad (fun u => coord j (F u)) v (rows j)) ->
  filterdiff F (locally v) (fun h => vector (fun j => dot (rows j) h)).
Proof.
revert rows; induction q as [|k IH]; intros rows H; [exact (H O (le_n _))|].
assert (H1 : filterdiff (fun u => fst (F u)) (locally v) (dot (rows O))) by exact (H O ltac:(lia)).
assert (H2 : filterdiff (fun u => snd (F u)) (locally v) (fun h => vector (fun j => dot (rows (S j)) h))).
{ apply IH; intros j Hj. exact (H (S j) ltac:(lia)). }
apply filterdiff_ext with (fun u => (fst (F u), snd (F u))); [intros u; symmetry; apply surjective_pairing|].
apply (filterdiff_comp'_2 (fun u => fst (F u)) (fun u => snd (F u)) (fun a b => (a, b)) v _ _
         (fun a b => (a, b)) H1 H2).
apply filterdiff_ext with (fun t => t); [intros t; apply surjective_pairing|].
apply filterdiff_ext_lin with (fun t => t); [apply filterdiff_id|intros t; apply surjective_pairing].
Qed.

Lemma is_grad_composed {n q : nat} (F : Vec n -> Vec q) (phi : Vec q -> R) (v : Vec n) rows p :
  (forall j, (j <= q)%nat -> is_grad (fun u => coord j (F u)) v (rows j)) ->
  is_grad phi (F v) p ->
  is_grad (fun u => phi (F u)) v (vsum (S q) (fun j => scal (coord j p) (rows j))).
Proof.
intros HF Hphi.
apply filterdiff_ext_lin with (fun h => dot p (vector (fun j => dot (rows j) h))).
- exact (filterdiff_comp' F phi v _ _ (filterdiff_components F v rows HF) Hphi).
- intros h. rewrite dot_vector dot_vsum. apply sum_ext; intros j _. now rewrite dot_scal_l.
Qed.

(* ---------------------------------------------------------------- T1k *)

Theorem T1k_identity {n q : nat} {Input Target : Type}
  (f : Vec n -> Input -> Vec q) (grad_f : Vec n -> Input -> nat -> Vec n)     (* grad_f v x j: of component j *)
  (m : nat) (xs : nat -> Input) (ys : nat -> Target)
  (loss : Target -> Vec q -> R) (grad_loss : Target -> Vec q -> Vec q)        (* its gradient in the output *)
  (w G : R -> Vec n) (T : R) (x : Input) (o : nat) :
  0 <= T -> (o <= q)%nat ->
  (forall t, 0 < t < T -> is_derive w t (opp (G t))) ->
  (forall t, 0 < t < T -> is_grad (fun v => sum m (fun i => loss (ys i) (f v (xs i)))) (w t) (G t)) ->
  (forall t, 0 < t < T -> is_grad (fun v => coord o (f v x)) (w t) (grad_f (w t) x o)) ->
  (forall t i j, 0 < t < T -> (i < m)%nat -> (j <= q)%nat ->
     is_grad (fun v => coord j (f v (xs i))) (w t) (grad_f (w t) (xs i) j)) ->
  (forall t i, 0 < t < T -> (i < m)%nat ->
     is_grad (loss (ys i)) (f (w t) (xs i)) (grad_loss (ys i) (f (w t) (xs i)))) ->
  continuous_on 0 T (fun t => coord o (f (w t) x)) ->
  (forall i, (i < m)%nat -> ex_RInt (fun t => sum (S q) (fun j =>
     coord j (grad_loss (ys i) (f (w t) (xs i))) * dot (grad_f (w t) x o) (grad_f (w t) (xs i) j))) 0 T) ->
  coord o (f (w T) x) = coord o (f (w 0) x)
    - sum m (fun i => RInt (fun t => sum (S q) (fun j =>
        coord j (grad_loss (ys i) (f (w t) (xs i))) * dot (grad_f (w t) x o) (grad_f (w t) (xs i) j))) 0 T).
Proof.
intros HT _ Hflow HG Hq Hex Hl Hcont Hint.
assert (HI := is_RInt_sum m _ _ 0 T (fun i Hi => is_RInt_RInt _ _ _ (Hint i Hi))).
refine (change_along_descent nil w G T (fun v => coord o (f v x)) _ _ _ HT _ _ _ Hcont HI).
- intros t [Ht _]; auto.
- intros t [Ht _]; exact (Hq t Ht).
- intros t [Ht _].
  assert (HE : is_grad (fun v => sum m (fun i => loss (ys i) (f v (xs i)))) (w t)
    (vsum m (fun i => vsum (S q) (fun j =>
       scal (coord j (grad_loss (ys i) (f (w t) (xs i)))) (grad_f (w t) (xs i) j))))).
  { apply is_grad_sum; intros i Hi. apply is_grad_composed; auto. }
  rewrite dot_sym (is_grad_unique _ _ _ _ (HG t Ht) HE) dot_vsum.
  apply sum_ext; intros i Hi. rewrite dot_vsum. apply sum_ext; intros j _.
  now rewrite dot_scal_l (dot_sym (grad_f (w t) x o)).
Qed.

(* ---------------------------------------------------------------- T1i *)

(* The loss is any differentiable function Phi of the q+1 outputs at the examples; additivity is not needed. *)
Theorem T1i {n q : nat} {Input : Type} (f : Vec n -> Input -> R) (grad_f : Vec n -> Input -> Vec n)
  (xs : nat -> Input) (Phi : Vec q -> R) (grad_Phi : Vec q -> Vec q) (w G : R -> Vec n) (T : R) (x : Input) :
  let outputs v := vector (q := q) (fun i => f v (xs i)) in
  0 <= T ->
  (forall t, 0 < t < T -> is_derive w t (opp (G t))) ->
  (forall t, 0 < t < T -> is_grad (fun v => Phi (outputs v)) (w t) (G t)) ->
  (forall t, 0 < t < T -> is_grad (fun v => f v x) (w t) (grad_f (w t) x)) ->
  (forall t i, 0 < t < T -> (i <= q)%nat -> is_grad (fun v => f v (xs i)) (w t) (grad_f (w t) (xs i))) ->
  (forall t, 0 < t < T -> is_grad Phi (outputs (w t)) (grad_Phi (outputs (w t)))) ->
  continuous_on 0 T (fun t => f (w t) x) ->
  (forall i, (i <= q)%nat ->
     ex_RInt (fun t => coord i (grad_Phi (outputs (w t))) * dot (grad_f (w t) x) (grad_f (w t) (xs i))) 0 T) ->
  f (w T) x = f (w 0) x - sum (S q) (fun i =>
    RInt (fun t => coord i (grad_Phi (outputs (w t))) * dot (grad_f (w t) x) (grad_f (w t) (xs i))) 0 T).
Proof.
intros outputs HT Hflow HG Hq Hex HPhi Hcont Hint.
assert (Hcoord : forall k (a : nat -> R) j, (j <= k)%nat -> coord j (vector (q := k) a) = a j).
{ induction k as [|k IH]; intros a [|j] Hj; try lia; try reflexivity. apply (IH (fun j => a (S j))). lia. }
assert (HI := is_RInt_sum (S q) _ _ 0 T (fun i Hi => is_RInt_RInt _ _ _ (Hint i ltac:(lia)))).
refine (change_along_descent nil w G T (fun v => f v x) _ _ _ HT _ _ _ Hcont HI).
- intros t [Ht _]; auto.
- intros t [Ht _]; exact (Hq t Ht).
- intros t [Ht _].
  assert (HE : is_grad (fun v => Phi (outputs v)) (w t)
    (vsum (S q) (fun i => scal (coord i (grad_Phi (outputs (w t)))) (grad_f (w t) (xs i))))).
  { apply (is_grad_composed outputs); [|exact (HPhi t Ht)].
    intros j Hj. apply is_grad_ext with (fun v => f v (xs j)); [intros v; symmetry; now apply Hcoord|auto]. }
  rewrite dot_sym (is_grad_unique _ _ _ _ (HG t Ht) HE) dot_vsum.
  apply sum_ext; intros j _. now rewrite dot_scal_l (dot_sym (grad_f (w t) x)).
Qed.
